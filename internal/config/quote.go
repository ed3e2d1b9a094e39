package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v3"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// login is a user and a password before a host, and also what a reference has there before its digest.
var login = regexp.MustCompile(`[^\s/@"']+:[^\s@"']*@(sha[0-9]+:)?`)

// is begins a problem with the value that is refused: cleaned and cut, without a login or a key that was pasted there.
func is(value string) string {
	switch {
	case value == "":
		return "is empty"
	case strings.Contains(value, "-----BEGIN "):
		return "is PEM data"
	}
	value = login.ReplaceAllStringFunc(failure.Clean(value), func(found string) string {
		if strings.HasSuffix(found, ":") {
			return found
		}
		return "redacted@"
	})
	return "is " + strconv.Quote(value)
}

// isNode is is for a value that was not decoded.
func isNode(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.SequenceNode:
		return "is a list"
	case node.Kind == yaml.MappingNode:
		return "is a mapping"
	case node.ShortTag() == "!!str":
		return strings.Replace(is(node.Value), "is ", "is the text ", 1)
	}
	return is(node.Value)
}

// maxSecretName is how long a text may be that is taken for a Secret's mistyped name; a longer one may be a token.
const maxSecretName = 32

// isSecretName is is where a Secret is named: a person may have pasted what belongs into the Secret.
func isSecretName(value string) string {
	if len(value) > maxSecretName {
		return fmt.Sprintf("is a text of %d characters", len(value))
	}
	return is(value)
}

// Nearest are the known names that a name may be a slip of, at most three, the most alike first.
func Nearest(name string, known []string) []string {
	distance := func(other string) int {
		return levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(other))
	}
	near := slices.DeleteFunc(slices.Clone(known), func(other string) bool { return distance(other) > max(len(name), len(other))/3 })
	slices.SortStableFunc(near, func(a, b string) int { return distance(a) - distance(b) })
	return near[:min(len(near), 3)]
}
