// Package sandbox runs a program a second time as root in namespaces of its
// own: what it routes, filters, mounts and starts is gone with it, however it
// ends. Its processes die with the first of them, and its control group, which
// no namespace hides, is removed from outside.
//
//	func main() {
//		sandbox.Init()
//		if box, ok := sandbox.Inside(); ok {
//			// ...
//		}
//		code, err := sandbox.Run(ctx, dir)
//	}
//
// Linux, as root. Tried with control groups of version 1; a hierarchy of version
// 2 would have to pass its controllers on to the groups below its root.
package sandbox
