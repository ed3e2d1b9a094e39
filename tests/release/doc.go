// Package release tests what makes a release, as far as that goes without the
// network: the scripts in release/, and that the workflows are what their
// readers trust them to be. What comes out of a build is checked by
// release/dry-run.
package release
