// Package scenario holds the black-box tests: each replays something that went
// wrong in production, named by its incident's id, against the built program, a
// real API server and real registries. See package harness for how they are
// written.
package scenario
