// Package faultinject breaks HTTP answers on purpose. A server that tests talk to
// asks a Set before it answers; the test has put rules there that say which
// request meets which trouble: a delay, a hang, a status, a reset connection,
// an answer that was carried out and then lost, or a hook of the test's own. A
// Port answers badly before any HTTP is spoken.
package faultinject
