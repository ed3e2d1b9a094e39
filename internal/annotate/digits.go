package annotate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tracebloc/image-refresh/internal/image"
)

// Digits are the first hex digits of a digest, by which a person names it in a label. A label's value has 63 characters, and a whole
// digest 64.
type Digits string

var digitsPattern = regexp.MustCompile(`^[0-9a-f]{12,63}$`)

// ParseDigits reads the digits in a label: 12 to 63 lowercase ones. Anything else is an error, which does not repeat the text.
func ParseDigits(text string) (Digits, error) {
	if !digitsPattern.MatchString(text) {
		return "", fmt.Errorf("a digest is named by the first 12 or more of its lowercase hex digits, not by these %d characters", len(text))
	}
	return Digits(text), nil
}

// DigitsOf are the digits by which a label of ours names a digest: as many as a mark has.
func DigitsOf(digest image.Digest) Digits { return Digits(Mark(digest)) }

// Name says whether they are those of the digest.
func (d Digits) Name(digest image.Digest) bool {
	return d != "" && strings.HasPrefix(string(digest), digestPrefix+string(d))
}
