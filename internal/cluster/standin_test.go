package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// token is our bearer token: it must not turn up in anything that is printed.
const token = "hunter2-MARKER"

// standIn stands in for an API server where a real one cannot be made to misbehave. Client and server are in
// one bubble and talk over pipes, so that time is the bubble's: a minute of retries takes no time at all.
type standIn struct {
	*httptest.Server
	listener *pipes
	client   *Client
	logs     *lockedBuffer

	mu       sync.Mutex
	calls    []string // method and address of each request
	conns    []net.Conn
	refusals []error // of the next dials
}

// inBubble runs a test against a stand-in that answers by handler. What was logged is checked afterwards: lines
// of JSON, and no token.
func inBubble(t *testing.T, handler http.HandlerFunc, test func(*testing.T, *standIn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &standIn{listener: &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}, logs: &lockedBuffer{}}
		s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "Bearer "+token, r.Header.Get("Authorization"))
			s.mu.Lock()
			s.calls = append(s.calls, r.Method+" "+r.URL.RequestURI())
			s.mu.Unlock()
			handler(w, r)
		}))
		require.NoError(t, s.Listener.Close())
		s.Listener, s.EnableHTTP2 = s.listener, true
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.StartTLS()
		var err error
		s.client, err = newClient(&rest.Config{
			Host: s.URL, BearerToken: token, Dial: s.dial,
			TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})},
		}, "tracebloc", Options{
			Concurrency: 2, UserAgent: "image-refresh/test", Logger: slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		require.NoError(t, err)
		defer func() {
			for _, group := range s.client.groups {
				group.Client.CloseIdleConnections()
			}
			s.drop()
			s.Close()
			synctest.Wait()
			assert.NotContains(t, s.logs.String(), "MARKER")
		}()
		test(t, s)
	})
}

// dial is how the client reaches the stand-in.
func (s *standIn) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	if len(s.refusals) > 0 {
		defer s.mu.Unlock()
		refusal := s.refusals[0]
		s.refusals = s.refusals[1:]
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: refusal}
	}
	s.mu.Unlock()
	client, server := net.Pipe()
	select {
	case s.listener.accept <- server:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, server)
	return asTCP{client}, nil
}

// asTCP is the end of a pipe that breaks as a TCP connection does.
type asTCP struct{ net.Conn }

func (c asTCP) Write(text []byte) (int, error) {
	n, err := c.Conn.Write(text)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

// drop breaks every connection, as a load balancer does that goes away.
func (s *standIn) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
}

func (s *standIn) called() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.calls...)
}

// pipes is a listener whose connections are handed to it.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accept:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is one that the stand-in's certificate is for.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6443} }

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// answer sends an object as JSON, as every API server may.
func answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	answer(w, code, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	})
}

const path = "/apis/apps/v1/namespaces/tracebloc/deployments/stg-api"

func ref() workload.Ref {
	return workload.Ref{Kind: config.Deployment, Namespace: "tracebloc", Name: "stg-api"}
}

// deployment is stg-api at a version, with so many of two replicas updated.
func deployment(version string, updated int32) *appsv1.Deployment {
	two := int32(2)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "tracebloc", Name: "stg-api", ResourceVersion: version, UID: "u"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "nginx:1"}}}},
		},
		Status: appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: updated, AvailableReplicas: 2},
	}
}

func read(t *testing.T, version string, updated int32) *workload.Object {
	t.Helper()
	object, err := workload.New(deployment(version, updated))
	require.NoError(t, err)
	return object
}

// took says that what a bubble did since began took so long.
func took(t *testing.T, began time.Time, least, most time.Duration) {
	t.Helper()
	assert.GreaterOrEqual(t, time.Since(began), least)
	assert.LessOrEqual(t, time.Since(began), most)
}
