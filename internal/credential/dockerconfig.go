package credential

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// entry is one registry's value in a docker configuration, as far as the kubelet reads it; the identity token it
// does not, nor is it used here.
type entry struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
}

// dockerConfig is config.json and .dockerconfigjson, as far as the kubelet reads them.
type dockerConfig struct {
	Auths       map[string]entry  `json:"auths"`
	CredsStore  string            `json:"credsStore"`
	CredHelpers map[string]string `json:"credHelpers"`
}

// errMalformed never repeats what it could not read: that may be the password.
var errMalformed = errors.New("no docker configuration")

// parseConfig reads config.json and .dockerconfigjson. It also says whether credentials are left to helper
// programs, which image-refresh does not run.
func parseConfig(data []byte, source Name) (found []Credential, helpers bool, err error) {
	var config dockerConfig
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, false, errMalformed
	}
	found, err = credentials(config.Auths, source)
	return found, config.CredsStore != "" || len(config.CredHelpers) > 0, err
}

// parseLegacy reads .dockercfg: the same entries without the "auths" around them.
func parseLegacy(data []byte, source Name) ([]Credential, error) {
	var auths map[string]entry
	if err := json.Unmarshal(data, &auths); err != nil {
		return nil, errMalformed
	}
	return credentials(auths, source)
}

// credentials turns entries into credentials, ordered by key so that nothing depends on the order of a map.
// One entry that cannot be read spoils the file, as it does for the kubelet. Entries with neither account nor
// password authenticate nobody and are left out.
func credentials(auths map[string]entry, source Name) ([]Credential, error) {
	keys := make([]string, 0, len(auths))
	for key := range auths {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var found []Credential
	for _, key := range keys {
		username, password, err := auths[key].account()
		if err != nil {
			return nil, err
		}
		name, ok := normalise(key)
		token := password == "" && auths[key].IdentityToken != ""
		if !ok || username == "" && password == "" && !token {
			continue
		}
		found = append(found, Credential{Source: source, Entry: name, username: username, password: password, token: token})
	}
	return found, nil
}

// account reads user name and password: "auth", base64 of both with or without padding, goes before the
// fields of their own.
func (e entry) account() (username, password string, err error) {
	if e.Auth == "" {
		return e.Username, e.Password, nil
	}
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(strings.TrimSpace(e.Auth), "=") {
		encoding = base64.StdEncoding
	}
	decoded, err := encoding.DecodeString(e.Auth)
	if err != nil {
		return "", "", errMalformed
	}
	username, password, found := strings.Cut(string(decoded), ":")
	if !found {
		return "", "", errMalformed
	}
	return username, password, nil
}

// normalise reduces a key to host and path: the scheme goes, and so does the API version that docker login
// writes. False where the key cannot be read; the kubelet ignores such entries.
func normalise(key string) (string, bool) {
	if !strings.HasPrefix(key, "https://") && !strings.HasPrefix(key, "http://") {
		key = "https://" + key
	}
	parsed, err := url.Parse(key)
	if err != nil {
		return "", false
	}
	path := parsed.Path
	if strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v2/") {
		path = path[len("/v1"):]
	}
	if path == "/" {
		path = ""
	}
	return parsed.Host + path, true
}
