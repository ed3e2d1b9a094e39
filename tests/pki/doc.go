// Package pki issues the certificates that tests serve under names which they
// do not own, such as ghcr.io: whoever trusts the authority (SSL_CERT_FILE, a
// kubeconfig) takes the test's server for the real one.
package pki
