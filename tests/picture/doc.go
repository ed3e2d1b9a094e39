// Package picture draws what a terminal shows as an SVG, for documents that
// people would rather look at than read. It draws real output: the program runs
// on a terminal of its own, and a test compares the picture with what it shows
// now.
package picture
