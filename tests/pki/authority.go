// Package pki issues the certificates that tests serve under names which they
// do not own, such as ghcr.io: whoever trusts the authority (SSL_CERT_FILE, a
// kubeconfig) takes the test's server for the real one.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// Authority is a certificate authority that lives as long as its test.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns an authority with a key of its own.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of %s: %w", name, err)
	}
	certificate, err := cert.NewSelfSignedCACert(cert.Config{CommonName: name, NotBefore: time.Now().Add(-time.Hour)}, key)
	if err != nil {
		return nil, fmt.Errorf("make the authority %s: %w", name, err)
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// PEM returns the authority's certificate, as a trust store holds it.
func (a *Authority) PEM() []byte { return encode(cert.CertificateBlockType, a.certificate.Raw) }

// WriteFile writes the authority's certificate to path, for SSL_CERT_FILE.
func (a *Authority) WriteFile(path string) error { return os.WriteFile(path, a.PEM(), 0o600) }

// Pool returns a pool that trusts this authority and no other.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Issue returns a server certificate for names, which are host names or IP
// addresses, valid now.
func (a *Authority) Issue(names ...string) (*tls.Certificate, error) {
	return a.IssueBetween(time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour), names...)
}

// IssueBetween is Issue with a validity of the caller's choice, for
// certificates that have expired.
func (a *Authority) IssueBetween(from, until time.Time, names ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %v: %w", names, err)
	}
	template := &x509.Certificate{
		NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %v: %w", names, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// WritePair writes a certificate and its key as PEM, the form in which the
// Kubernetes components read them.
func WritePair(certificate *tls.Certificate, certFile, keyFile string) error {
	key, err := keyutil.MarshalPrivateKeyToPEM(certificate.PrivateKey)
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	if err := os.WriteFile(certFile, encode(cert.CertificateBlockType, certificate.Certificate[0]), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, key, 0o600)
}

// WriteServiceAccountKey writes a fresh RSA key pair with which an API server
// signs the tokens of service accounts and its controllers check them.
func WriteServiceAccountKey(privateFile, publicFile string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make the service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode the public key: %w", err)
	}
	if err := os.WriteFile(publicFile, encode(keyutil.PublicKeyBlockType, public), 0o600); err != nil {
		return err
	}
	private := encode(keyutil.RSAPrivateKeyBlockType, x509.MarshalPKCS1PrivateKey(key))
	return os.WriteFile(privateFile, private, 0o600)
}

func encode(blockType string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
}
