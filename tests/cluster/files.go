package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tracebloc/image-refresh/tests/pki"
)

// files is what the components read at their start.
type files struct {
	ca, cert, key             string
	tokens                    string
	accountKey, accountPublic string
}

// prepare writes what the components read: certificates, keys and the
// administrator's token.
func (c *Cluster) prepare() (files, error) {
	at := func(name string) string { return filepath.Join(c.dir, name) }
	f := files{
		ca: at("ca.crt"), cert: at("server.crt"), key: at("server.key"), tokens: at("tokens.csv"),
		accountKey: at("service-account.key"), accountPublic: at("service-account.pub"),
	}
	ca, err := pki.NewAuthority("image-refresh test cluster")
	if err != nil {
		return files{}, err
	}
	c.ca = ca
	names := append([]string{"127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc", serviceAddress}, c.node...)
	certificate, err := ca.Issue(names...)
	if err != nil {
		return files{}, err
	}
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return files{}, fmt.Errorf("make the administrator's token: %w", err)
	}
	c.token = hex.EncodeToString(token)
	for _, write := range []func() error{
		func() error { return ca.WriteFile(f.ca) },
		func() error { return pki.WritePair(certificate, f.cert, f.key) },
		func() error { return pki.WriteServiceAccountKey(f.accountKey, f.accountPublic) },
		func() error {
			return os.WriteFile(f.tokens, []byte(c.token+`,admin,admin,"system:masters"`+"\n"), 0o600)
		},
	} {
		if err := write(); err != nil {
			return files{}, fmt.Errorf("write the cluster's files: %w", err)
		}
	}
	return f, nil
}
