package annotate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tracebloc/image-refresh/internal/image"
)

// Pin is what a slot holds, or held, as far as it is remembered: a digest, Unpinned, the mark of a digest
// whose other digits are forgotten, or nothing (None). Two pins are the same when their marks are.
type Pin string

// The pins that are no digest.
const (
	None     Pin = ""         // never observed, or empty
	Unpinned Pin = "unpinned" // a tag, or anything else that is no digest
)

// digestPrefix begins every whole digest, and neither a mark nor Unpinned.
const digestPrefix = "sha256:"

var markPattern = regexp.MustCompile(fmt.Sprintf(`^[0-9a-f]{%d}$`, image.MarkLength))

// Of is the pin of a digest; None for none.
func Of(digest image.Digest) Pin { return Pin(digest) }

// ParsePin reads a recorded value: a digest or "unpinned". Empty is None. Anything else is an error, which
// does not repeat the text.
func ParsePin(text string) (Pin, error) {
	if text == "" || Pin(text) == Unpinned {
		return Pin(text), nil
	}
	digest, err := image.ParseDigest(text)
	if err != nil {
		return None, err
	}
	return Of(digest), nil
}

// ParseMark reads a mark label: 40 hex digits or "unpinned". Empty is None.
func ParseMark(text string) (Pin, error) {
	if text == "" || Pin(text) == Unpinned || markPattern.MatchString(text) {
		return Pin(text), nil
	}
	return None, fmt.Errorf("a mark is %d lowercase hex digits or %q, not these %d characters", image.MarkLength, Unpinned, len(text))
}

// Digest is the whole digest that the pin stands for; empty where it is none or only its mark is known. Pins
// come from Of, ParsePin and ParseMark, so a prefix tells them apart.
func (p Pin) Digest() image.Digest {
	if !strings.HasPrefix(string(p), digestPrefix) {
		return ""
	}
	return image.Digest(p)
}

// Mark is the pin as the mark label spells it.
func (p Pin) Mark() string {
	if digest := p.Digest(); digest != "" {
		return digest.Mark()
	}
	return string(p)
}

// Same says whether both stand for the same content. None is the same as None only.
func (p Pin) Same(other Pin) bool { return p.Mark() == other.Mark() }

// Is says whether the pin stands for this digest.
func (p Pin) Is(digest image.Digest) bool { return digest != "" && p.Same(Of(digest)) }

// Short is the pin as people read it.
func (p Pin) Short() string {
	switch {
	case p == None:
		return "empty"
	case p.Digest() != "":
		return p.Digest().Short()
	case p == Unpinned:
		return string(p)
	default:
		return "sha256:" + string(p)[:12]
	}
}
