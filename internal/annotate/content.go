package annotate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tracebloc/image-refresh/internal/image"
)

// Content is what a slot holds, or held, as far as it is remembered: a digest, Unpinned, the mark of a digest
// whose other digits are forgotten, or nothing (None). Two contents are the same when their marks are.
type Content string

// The contents that are no digest.
const (
	None     Content = ""         // never observed, or empty
	Unpinned Content = "unpinned" // a tag, or anything else that is no digest
)

// markLength is how many hex digits of a digest fit beside other things in a label's 63 characters.
const markLength = 40

// digestPrefix begins every whole digest, and neither a mark nor Unpinned.
const digestPrefix = "sha256:"

var markPattern = regexp.MustCompile(fmt.Sprintf(`^[0-9a-f]{%d}$`, markLength))

// Of is the content of a digest; None for none.
func Of(digest image.Digest) Content { return Content(digest) }

// ParseContent reads a recorded value: a digest or "unpinned". Empty is None. Anything else is an error, which
// does not repeat the text.
func ParseContent(text string) (Content, error) {
	if text == "" || Content(text) == Unpinned {
		return Content(text), nil
	}
	digest, err := image.ParseDigest(text)
	if err != nil {
		return None, err
	}
	return Of(digest), nil
}

// ParseMark reads a mark label: 40 hex digits or "unpinned". Empty is None.
func ParseMark(text string) (Content, error) {
	if text == "" || Content(text) == Unpinned || markPattern.MatchString(text) {
		return Content(text), nil
	}
	return None, fmt.Errorf("a mark is %d lowercase hex digits or %q, not these %d characters", markLength, Unpinned, len(text))
}

// Mark is a digest's first 40 hex digits, as they stand in the mark label. It is empty for none.
func Mark(digest image.Digest) string {
	if digest == "" {
		return ""
	}
	return strings.TrimPrefix(string(digest), digestPrefix)[:markLength]
}

// Digest is the whole digest that the content stands for; empty where it is none or only its mark is known. Contents
// come from Of, ParseContent and ParseMark, so a prefix tells them apart.
func (c Content) Digest() image.Digest {
	if !strings.HasPrefix(string(c), digestPrefix) {
		return ""
	}
	return image.Digest(c)
}

// Mark is the content as the mark label spells it.
func (c Content) Mark() string {
	if digest := c.Digest(); digest != "" {
		return Mark(digest)
	}
	return string(c)
}

// Same says whether both stand for the same content. None is the same as None only.
func (c Content) Same(other Content) bool { return c.Mark() == other.Mark() }

// Is says whether the content stands for this digest.
func (c Content) Is(digest image.Digest) bool { return digest != "" && c.Same(Of(digest)) }

// Short is the content as sentences for people name it.
func (c Content) Short() string {
	switch {
	case c == None:
		return "empty"
	case c.Digest() != "":
		return c.Digest().Short()
	case c == Unpinned:
		return "the tag"
	default:
		return "sha256:" + string(c)[:12]
	}
}
