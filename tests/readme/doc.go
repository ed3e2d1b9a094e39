// Package readme holds the test that runs the README's commands as they are
// written, in a copy of the tree, against a real control plane.
package readme
