// Package interop holds the virtual SIM against foreign software that has to be built from
// its source first. Its tests carry the build tag "interop", and are run by make interop.
package interop
