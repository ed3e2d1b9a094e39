package faultinject

import "net/http"

// Note returns a writer that tells note which status the client gets to see,
// and is w in every other way.
func Note(w http.ResponseWriter, note func(status int)) http.ResponseWriter {
	return &noter{ResponseWriter: w, note: note}
}

type noter struct {
	http.ResponseWriter
	note  func(status int)
	wrote bool
}

// Unwrap lets http.ResponseController flush and hijack.
func (n *noter) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (n *noter) WriteHeader(status int) {
	n.wrote = true
	n.note(status)
	n.ResponseWriter.WriteHeader(status)
}

func (n *noter) Write(p []byte) (int, error) {
	if !n.wrote {
		n.WriteHeader(http.StatusOK)
	}
	return n.ResponseWriter.Write(p)
}
