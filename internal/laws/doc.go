// Package laws holds no code: its tests state what must hold of the whole, whatever is
// cut, altered, repeated or done twice at once. They run virtual SIMs, the device
// middleware, the platform and the application server in one process, over loopback.
package laws
