// Package image holds what the program knows of images without asking anybody: digests, references, platforms, and how
// registries are to be asked.
package image

import (
	"fmt"
	"strings"
)

// Digest is a sha256 content digest in its canonical spelling, "sha256:" and 64 lowercase hex digits. The
// empty Digest means "none". Values come from ParseDigest only, so whatever has this type is safe to write.
type Digest string

// ParseDigest accepts exactly "sha256:" and 64 lowercase hex digits (I37). Its error never repeats the text.
func ParseDigest(text string) (Digest, error) {
	if digits, found := strings.CutPrefix(text, "sha256:"); !found || !isHash(digits) {
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

// isHash tells 64 lowercase hex digits. A pattern with a count in it is dear to compile, and each start of the program would pay.
func isHash(text string) bool { return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == "" }
