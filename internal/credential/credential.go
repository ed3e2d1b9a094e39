// Package credential reads pull secrets and docker configuration files, and chooses from them as the kubelet
// does, so that what a tick proves is what the pods will use (I25). It asks nobody: files in, credentials out.
//
// A password leaves this package through Credential.Authorization alone; every other way to print a
// Credential shows where it comes from and nothing else.
package credential

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Name is the name of a pull secret. The zero Name stands for the DOCKER_CONFIG file.
type Name struct {
	Namespace, Name string
}

func (n Name) String() string {
	if n == (Name{}) {
		return "DOCKER_CONFIG"
	}
	return n.Namespace + "/" + n.Name
}

// Credential is one entry of a pull secret or of a docker configuration file: a user name and a password
// for the registries that its key matches. The zero Credential stands for "anonymous".
type Credential struct {
	Source Name   // where it was read
	Entry  string // the key in that file, normalised: a host, perhaps with a port, a path and globs

	username, password string
	identityToken      string // in a docker configuration, in place of both
	token              bool   // in a pull secret, one stands where the password should, which nodes ignore
	identity           string // whom a cloud has given it for; empty for one that is written down somewhere
}

// Docker is an entry of DOCKER_CONFIG, or what a helper that is named there holds.
func Docker(entry, username, password, identityToken string) Credential {
	return Credential{Entry: entry, username: username, password: password, identityToken: identityToken}
}

// Cloud is what a registry of a cloud takes for an identity, by its name there.
func Cloud(entry, username, password, identity string) Credential {
	return Credential{Entry: entry, username: username, password: password, identity: identity}
}

// Cloud says that a cloud has given it, and that it is written down nowhere.
func (c Credential) Cloud() bool { return c.identity != "" }

// Anonymous says whether there is nothing to authenticate with.
func (c Credential) Anonymous() bool {
	return c.username == "" && c.password == "" && c.identityToken == ""
}

// IdentityToken is what is exchanged for tokens in place of an account, where there is one. It is secret.
func (c Credential) IdentityToken() string { return c.identityToken }

// Authorization is the value of the Authorization header (RFC 7617). It is secret.
func (c Credential) Authorization() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.username+":"+c.password))
}

// Identity is what two entries have in common when they are one account with one password, whatever secrets
// they stand in. It serves as a map key; it is a hash, so that no dump of a key shows a password. The zero
// Identity is nobody's.
type Identity [sha256.Size]byte

// Identity returns the account and password of c as a comparable value.
func (c Credential) Identity() Identity {
	if c.Anonymous() {
		return Identity{}
	}
	return sha256.Sum256([]byte(c.username + "\x00" + c.password + "\x00" + c.identityToken))
}

// longestAccount is the longest user name that is printed: longer ones are tokens, not names.
const longestAccount = 128

// Account is the user name as people know it, cleaned, or "redacted" where it looks like a token itself.
func (c Credential) Account() string {
	if c.username == "" && c.identityToken != "" {
		return "of an identity token"
	}
	if c.username == c.password || len(c.username) > longestAccount {
		return "redacted"
	}
	for _, prefix := range []string{"ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "gldt-", "dckr_pat_", "eyJ"} {
		if strings.HasPrefix(c.username, prefix) {
			return "redacted"
		}
	}
	return failure.Clean(c.username)
}

// ManyHosts says that the entry stands for more than one host.
func (c Credential) ManyHosts() bool {
	host, _, _ := strings.Cut(c.Entry, "/")
	return strings.ContainsAny(host, "*?[")
}

// String names the credential as people know it, the secret, the account in it and the entry that matched, and never says
// what it is.
func (c Credential) String() string {
	if c.Anonymous() {
		return "anonymous"
	}
	if c.Cloud() {
		return "the cloud identity (" + c.identity + ")"
	}
	where := "pull secret " + c.Source.String()
	if c.Source == (Name{}) {
		where = "DOCKER_CONFIG's entry"
	}
	return fmt.Sprintf("%s (account %s, entry %s)", where, c.Account(), failure.Clean(c.Entry))
}

// GoString keeps %#v from printing the password.
func (c Credential) GoString() string { return c.String() }

// LogValue keeps a logger from printing the password.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }
