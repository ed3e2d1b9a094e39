package failure

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxForeign is how many characters of a text that is not ours are ever printed.
const MaxForeign = 200

var (
	escapeSequence = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?`)
	userInfo       = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s]*@`)
	// login is a user with a password, with or without a scheme before it. Passwords may hold slashes, and a blank or two.
	login = regexp.MustCompile(`[^\s/@:"'<>()\[\],;=]+:(?:[^\s@/]|/[^\s@/])[^\s@]*(?: [^\s@]+){0,2}@[A-Za-z0-9.-]+`)
	// parameter is one that grants something, be it of a URL's path or of a connection string.
	parameter = regexp.MustCompile(`(?i)([;&?][a-z_-]*(?:sig|signature|token|key|secret|password)=)[^\s;&"']+`)
	urlQuery  = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s?#"']*)\?[^\s#"']*`)
)

// Clean makes text that is not ours fit to print (I47): escape sequences, control and bidirectional
// characters are removed, white space is folded, logins, queries of URLs and signatures in them are redacted, and the rest is
// cut to MaxForeign characters.
func Clean(text string) string {
	text = clean(text)
	if runes := []rune(text); len(runes) > MaxForeign {
		return string(runes[:MaxForeign-1]) + "…"
	}
	return text
}

// CleanEnds is Clean for text whose end says most, as a chain of errors does: what is too much is cut out of its
// middle.
func CleanEnds(text string) string {
	text = clean(text)
	if runes := []rune(text); len(runes) > MaxForeign {
		return string(runes[:MaxForeign/2-1]) + "…" + string(runes[len(runes)-MaxForeign/2:])
	}
	return text
}

// Cut shortens text to at most so many bytes, at a character's boundary.
func Cut(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	end := bytes - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func clean(text string) string {
	if len(text) > 64*MaxForeign { // bounds the work, whatever was sent
		text = text[:64*MaxForeign]
	}
	text = escapeSequence.ReplaceAllString(strings.ToValidUTF8(text, ""), "")
	text = strings.Map(printable, text)
	text = strings.Join(strings.Fields(text), " ")
	text = userInfo.ReplaceAllString(text, "${1}redacted@")
	text = login.ReplaceAllStringFunc(text, withoutLogin)
	text = urlQuery.ReplaceAllString(text, "${1}?redacted")
	return parameter.ReplaceAllString(text, "${1}redacted")
}

// withoutLogin redacts what looks like a login, unless it is an image's tag before its digest.
func withoutLogin(found string) string {
	if at := strings.LastIndex(found, "@"); !strings.HasPrefix(found[at:], "@sha") {
		return "redacted" + found[at:]
	}
	return found
}

// printable keeps what a terminal shows as it is: white space becomes a space, and everything of the Unicode
// categories "control" and "format" (bidirectional overrides among them) goes.
func printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs):
		return -1
	default:
		return r
	}
}
