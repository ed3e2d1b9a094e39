package credential

import (
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
)

// defaultHost is the name under which docker login keeps Docker Hub's credentials.
const defaultHost = "index.docker.io"

// Keyring chooses credentials for an image by the kubelet's rules (its package credentialprovider, read in
// Kubernetes 1.36).
type Keyring struct {
	entries []Credential // by Entry, descending: of two that match by prefix the longer comes first
	tokens  []Credential // entries that authenticate nobody, because they hold an identity token and no password
	// Helpers says that a docker configuration leaves credentials to helper programs, which are not run.
	Helpers bool
	// Unusable are the secrets named that give nothing.
	Unusable []Unusable
}

// NewKeyring orders credentials for Lookup. Those with the same key stay in the order given, which is the
// order of the pull secrets.
func NewKeyring(credentials []Credential) Keyring {
	var k Keyring
	for _, one := range credentials {
		if one.token {
			k.tokens = append(k.tokens, one)
		} else {
			k.entries = append(k.entries, one)
		}
	}
	slices.SortStableFunc(k.entries, func(a, b Credential) int { return strings.Compare(b.Entry, a.Entry) })
	return k
}

// Lookup returns every credential that matches a normalised image name (host and repository), in the order
// in which the kubelet tries them, each account once. Only where none matches, and the image is Docker Hub's,
// it falls back on the entry index.docker.io.
func (k Keyring) Lookup(name string) []Credential {
	var found []Credential
	seen := map[Identity]bool{}
	for _, credential := range lookup(k.entries, name) {
		if !seen[credential.Identity()] {
			seen[credential.Identity()] = true
			found = append(found, credential)
		}
	}
	return found
}

// IdentityToken says whether an entry for an image name was left out, because it holds an identity token in place
// of a password.
func (k Keyring) IdentityToken(name string) bool { return len(lookup(k.tokens, name)) > 0 }

func lookup(entries []Credential, name string) []Credential {
	target, err := url.Parse("https://" + name)
	if err != nil {
		return nil
	}
	found := where(entries, func(entry string) bool { return matches(entry, target) })
	if len(found) == 0 && (target.Host == "docker.io" || target.Host == defaultHost) {
		found = where(entries, func(entry string) bool { return entry == defaultHost })
	}
	return found
}

func where(entries []Credential, accept func(entry string) bool) []Credential {
	var found []Credential
	for _, credential := range entries {
		if accept(credential.Entry) {
			found = append(found, credential)
		}
	}
	return found
}

// matches says whether a key is for an image: the port is the same (none is none, not 443), the host has as
// many labels and each matches as a glob, and the path begins with the key's path, to the letter.
func matches(entry string, target *url.URL) bool {
	key, err := url.Parse("https://" + entry)
	if err != nil {
		return false
	}
	keyHost, keyPort := split(key.Host)
	host, port := split(target.Host)
	keyLabels, labels := strings.Split(keyHost, "."), strings.Split(host, ".")
	if keyPort != port || len(keyLabels) != len(labels) || !strings.HasPrefix(target.Path, key.Path) {
		return false
	}
	for i, label := range labels {
		if matched, err := path.Match(keyLabels[i], label); err != nil || !matched {
			return false
		}
	}
	return true
}

func split(hostport string) (host, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport, ""
	}
	return host, port
}
