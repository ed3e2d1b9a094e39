package image

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Build is which build an image is, as whoever built it says: the version, the revision of the source, and when it was built
// (OCI image specification, "annotations"). It is for people to read: nothing is decided on it. Values come from BuildOf, or from
// JSON, and so are fit to print whatever they were made of. The zero value says nothing.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Created  string `json:"created"` // RFC 3339, in UTC
}

// maxField is how many characters of a version or a revision are kept. A revision has 40 digits at git, or 64.
const maxField = 64

// BuildOf is what annotations of an index or a manifest, or labels of a configuration, say of the build.
func BuildOf(annotations map[string]string) Build {
	const of = "org.opencontainers.image."
	return Build{Version: annotations[of+"version"], Revision: annotations[of+"revision"], Created: annotations[of+"created"]}.cleaned()
}

// cleaned is the build without what a terminal, a log or a chat would make something of, and cut. A time that does not parse is
// left out, and so is the first second of 1970, which builds have that are to be the same each time they are made.
func (b Build) cleaned() Build {
	created, err := time.Parse(time.RFC3339, b.Created)
	b = Build{Version: field(b.Version), Revision: field(b.Revision)}
	if at := created.UTC(); err == nil && at.Unix() > 0 && at.Year() <= 9999 {
		b.Created = at.Format(time.RFC3339)
	}
	return b
}

func field(text string) string {
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune("<>@[]`", r) {
			return ' '
		}
		return r
	}, failure.Clean(text))
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "://", " ")), " ")
	if characters := []rune(text); len(characters) > maxField {
		return strings.TrimSpace(string(characters[:maxField-1])) + "…"
	}
	return text
}

// UnmarshalJSON reads a build as it stands in an annotation, where anybody may have written it.
func (b *Build) UnmarshalJSON(text []byte) error {
	type plain Build
	if err := json.Unmarshal(text, (*plain)(b)); err != nil {
		return err
	}
	*b = b.cleaned()
	return nil
}

// Named says whether the build has a name: a version or a revision.
func (b Build) Named() bool { return b.Version != "" || b.Revision != "" }

// Or is the build with what it does not say itself as the other one says it.
func (b Build) Or(other Build) Build {
	if b.Named() {
		other.Version, other.Revision = b.Version, b.Revision
	}
	if b.Created != "" {
		other.Created = b.Created
	}
	return other
}

// Name names the build as messages do, as in "1.4.2 (a1b2c3d)"; otherwise where it has no name.
func (b Build) Name(otherwise string) string { return named(b.names(otherwise)) }

// NameAndTime is the name with when the build was made, as in "1.4.2 (a1b2c3d, built 20 Nov 10:00 UTC)". The year is told where it
// is not that of now.
func (b Build) NameAndTime(otherwise string, now time.Time) string {
	names := b.names(otherwise)
	if at, err := time.Parse(time.RFC3339, b.Created); err == nil {
		form := "2 Jan 2006 15:04 UTC"
		if at.Year() == now.UTC().Year() {
			form = "2 Jan 15:04 UTC"
		}
		names = append(names, "built "+at.Format(form))
	}
	return named(names)
}

// Beside is a digest and, between commas, the name of the build, if it has one, as in "sha256:0123456789ab, 1.4.2 (a1b2c3d),".
func (b Build) Beside(digest string) string {
	if !b.Named() {
		return digest
	}
	return digest + ", " + b.Name("") + ","
}

// names are what the build is called by, the first of it first.
func (b Build) names(otherwise string) []string {
	var names []string
	for _, name := range []string{b.Version, shortRevision(b.Revision)} {
		if name != "" && !(name == b.Version && b.Version == b.Revision) { // some builds are versioned by the revision alone
			names = append(names, name)
		}
	}
	if len(names) == 0 && otherwise != "" {
		names = append(names, otherwise)
	}
	return names
}

func named(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return names[0] + " (" + strings.Join(names[1:], ", ") + ")"
}

// shortRevision is a revision as people read it: seven digits of a hash, as git shows them.
func shortRevision(revision string) string {
	const short = 7
	if len(revision) > short && strings.Trim(strings.TrimSuffix(revision, "…"), "0123456789abcdef") == "" {
		return revision[:short]
	}
	return revision
}
