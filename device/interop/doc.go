// Package interop holds the SIM's connections against the TLS servers of others. It has tests only.
package interop
