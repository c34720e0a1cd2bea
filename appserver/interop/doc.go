// Package interop holds tests of the server middleware against programs that others wrote.
package interop
