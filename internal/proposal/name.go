package proposal

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"strings"

	"github.com/tracebloc/image-refresh/internal/image"
)

// maxName is how long a target's name may be, in characters: it stems the keys of annotations.
const maxName = 32

var noLabel = regexp.MustCompile(`[^a-z0-9]+`)

// label makes a DNS label of a text (RFC 1123).
func label(text string) string {
	text = strings.Trim(noLabel.ReplaceAllString(strings.ToLower(text), "-"), "-")
	return strings.TrimRight(text[:min(len(text), maxName)], "-")
}

// names gives each image a name of its own: the end of its repository; with the tag, or what stands before it, where two end
// alike; with digits of its hash where that is still not enough.
func (p *proposal) names() map[string]string {
	names := map[string]string{}
	for key := range p.images {
		names[key] = ""
	}
	for _, form := range []func(string, image.Reference) string{
		func(_ string, ref image.Reference) string { return label(path.Base(ref.Repository)) },
		func(_ string, ref image.Reference) string { return label(path.Base(ref.Repository) + "-" + ref.Tag) },
		func(_ string, ref image.Reference) string {
			return label(path.Base(path.Dir(ref.Repository)) + "-" + path.Base(ref.Repository))
		},
		func(key string, ref image.Reference) string {
			sum := sha256.Sum256([]byte(key))
			base := label(path.Base(ref.Repository))
			return label(base[:min(len(base), maxName-9)]) + "-" + hex.EncodeToString(sum[:4])
		},
	} {
		of := map[string][]string{}
		for key, ref := range p.images {
			if names[key] == "" {
				of[form(key, ref)] = append(of[form(key, ref)], key)
			}
		}
		for name, keys := range of {
			if len(keys) == 1 && !taken(names, name) {
				names[keys[0]] = name
			}
		}
	}
	return names
}

func taken(names map[string]string, name string) bool {
	for _, other := range names {
		if other == name {
			return true
		}
	}
	return false
}
