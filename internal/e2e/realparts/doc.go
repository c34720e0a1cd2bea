// Package realparts lets tests run against the real counterparts of simroot: pcscd with
// its virtual reader, Mosquitto, OpenSSL, and the simroot command itself.
//
// A test package that uses it gives itself a TestMain:
//
//	func TestMain(m *testing.M) { realparts.Main(m, "./cmd/simroot") }
//
// Its test binary then runs in a network, mount and process namespace of its own, on
// Linux: ports and sockets collide with nobody's, nothing listens to the outside
// (vpcd binds all interfaces), and whatever a test leaves running ends with it. Inside,
// vpcd's ports are fixed: one pcscd at a time.
//
// Every part is started for one test and ended with it; what it printed is shown if the
// test fails. Waiting is for a condition, with a deadline. A missing part fails the test:
// scripts/deps installs them.
package realparts
