// Package e2e tests simroot as separate processes against its real counterparts. It holds
// tests only; what starts the counterparts is package realparts.
package e2e
