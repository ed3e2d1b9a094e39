// Package image holds what the program knows of images without asking anybody: digests, references, platforms, and how
// registries are to be asked.
package image

import (
	"fmt"
	"regexp"
)

// Digest is a sha256 content digest in its canonical spelling, "sha256:" and 64 lowercase hex digits. The
// empty Digest means "none". Values come from ParseDigest only, so whatever has this type is safe to write.
type Digest string

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// ParseDigest accepts exactly "sha256:" and 64 lowercase hex digits (I37). Its error never repeats the text.
func ParseDigest(text string) (Digest, error) {
	if !digestPattern.MatchString(text) {
		return "", fmt.Errorf("a digest is sha256: and 64 lowercase hex digits, not these %d characters", len(text))
	}
	return Digest(text), nil
}

// Short is the digest as people read it: "sha256:" and 12 hex digits.
func (d Digest) Short() string {
	if d == "" {
		return "none"
	}
	return string(d)[:len("sha256:")+12]
}
