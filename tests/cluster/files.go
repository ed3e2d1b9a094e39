package cluster

import (
	"crypto/rand"
	"errors"
	"os"

	"github.com/tracebloc/image-refresh/tests/pki"
)

// serviceAddress is the address of the service kubernetes.
const serviceAddress = "10.96.0.1"

// writeFiles writes what the components read: certificates, keys and the administrator's token.
func (c *Cluster) writeFiles() (err error) {
	if c.ca, err = pki.NewAuthority("image-refresh test cluster"); err != nil {
		return err
	}
	names := append([]string{"127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc", serviceAddress}, c.node...)
	certificate, err := c.ca.Issue(names...)
	if err != nil {
		return err
	}
	c.token = rand.Text()
	return errors.Join(
		c.ca.WriteFile(c.at("ca.crt")),
		pki.WritePair(certificate, c.at("server.crt"), c.at("server.key")),
		pki.WriteServiceAccountKey(c.at("service-account.key"), c.at("service-account.pub")),
		os.WriteFile(c.at("tokens.csv"), []byte(c.token+`,admin,admin,"system:masters"`+"\n"), 0o600),
	)
}
