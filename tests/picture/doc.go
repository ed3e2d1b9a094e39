// Package picture draws what a terminal shows as an SVG, for documents that
// people would rather look at than read. It draws real output: who calls it has
// run the program, and a test compares the picture with what it prints now.
package picture
