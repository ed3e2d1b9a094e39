// Command program is what the containers of a test node run. What it does is in the image: its entry point names one of
//
//	pause           wait, as the first container of each pod does
//	serve TEXT      answer every request on port 8080 with the text
//	crash TEXT      say the text and fail
package main

import (
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	mode, text := os.Args[1], append(os.Args, "")[2]
	if mode == "crash" {
		_, _ = os.Stderr.WriteString(text + "\n")
		os.Exit(1)
	}
	if mode == "serve" {
		server := &http.Server{Addr: ":8080", ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, text) //nolint:gosec // the text is in the image; the client may be gone: its own loss
			})}
		go func() { _ = server.ListenAndServe() }() // a pod that does not listen is never ready
	}
	// The first process of a container gets no signal that it does not ask for.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
}
