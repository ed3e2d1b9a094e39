// Command program is what the containers of a test node run. What it does is
// in the image: its entry point names one of
//
//	pause           wait, as the first container of each pod does
//	serve TEXT      answer every request on port 8080 with the text
//	unready TEXT    answer every request with the text, and that it is not ready
//	crash TEXT      say the text and fail
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	// The first process of a container gets no signal that it does not ask for.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	mode, text := "", ""
	if len(args) > 0 {
		mode = args[0]
	}
	if len(args) > 1 {
		text = args[1]
	}
	switch mode {
	case "pause":
		<-ctx.Done()
		return nil
	case "serve":
		return serve(ctx, http.StatusOK, text)
	case "unready":
		return serve(ctx, http.StatusServiceUnavailable, text)
	case "crash":
		return errors.New(text)
	}
	return fmt.Errorf("there is no mode %q", mode)
}

func serve(ctx context.Context, status int, text string) error {
	server := &http.Server{
		Addr: ":8080", ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text) //nolint:gosec // the text is in the image; the client may be gone: its own loss
		}),
	}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // ends ListenAndServe
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
