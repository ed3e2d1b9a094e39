// Package readme holds the tests that run the commands of the README and of
// the other documents as they are written, in a copy of the tree, against a
// real control plane, and that leave no command out without a reason.
package readme
