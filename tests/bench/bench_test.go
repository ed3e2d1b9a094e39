package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A relay makes a request over TCP take two round trips, the handshake's and its own, and brings all of a body.
func TestARelayIsALongWay(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, body, string(sent))
		_, err = io.WriteString(w, body)
		assert.NoError(t, err)
	}))
	defer server.Close()
	way, err := newRelay(t.Context(), strings.TrimPrefix(server.URL, "http://"))
	require.NoError(t, err)
	const roundTrip = 50 * time.Millisecond
	way.set(roundTrip)
	client := &http.Client{Transport: &http.Transport{}}
	for _, least := range []time.Duration{2 * roundTrip, roundTrip} { // the connection is kept
		began := time.Now()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+way.address, strings.NewReader(body))
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		received, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, body, string(received))
		assert.GreaterOrEqual(t, time.Since(began), least)
	}
	way.stop()
	_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", way.address)
	assert.Error(t, err)
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	ours := []cost{{CPU: 2 * time.Second}, {CPU: time.Second}, {CPU: 4 * time.Second}}
	theirs := []cost{{CPU: 20 * time.Second}, {CPU: 30 * time.Second}, {CPU: 20 * time.Second}}
	assert.Equal(t, figure{2, 1, 4}, of(ours, cpu))
	assert.Equal(t, figure{2.5, 1, 4}, summarise([]float64{4, 1, 2, 3}))
	assert.Equal(t, figure{10, 5, 30}, ratio(ours, theirs, cpu), "run by run")
	assert.InDelta(t, 1.5, of(ours, cpu).noise(), 1e-9)
	assert.Equal(t, []string{"7 ms", "1.50 s", "12.3 s"}, []string{duration(0.0071), duration(1.5), duration(12.34)})
}

// What launch tells is about the program, and not about who has started it.
func TestLaunchMeasuresWhatItStarts(t *testing.T) {
	t.Parallel()
	launch := filepath.Join(t.TempDir(), "launch")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", launch, "./launch").CombinedOutput()
	require.NoError(t, err, string(output))
	const script = `x=$(true); (true); true | cat >/dev/null; exit 3`
	counted := launched(t, launch, "-count", "bash", "-c", script)
	assert.Equal(t, 5, counted.Processes, "bash, two subshells, and a pipe's two")
	assert.Equal(t, 3, counted.ExitCode)
	measured := launched(t, launch, "bash", "-c", script)
	assert.Equal(t, 3, measured.ExitCode)
	assert.Positive(t, measured.Wall)
	assert.Positive(t, measured.Memory)
	assert.Less(t, measured.Memory, int64(16<<20), "a shell is small, and who starts it does not count")
}

func launched(t *testing.T, args ...string) cost {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{writer}
	require.NoError(t, cmd.Run())
	require.NoError(t, writer.Close())
	var used cost
	require.NoError(t, json.NewDecoder(reader).Decode(&used))
	return used
}

// A broken budget fails the run where no machine can break it, and is only reported where one can.
func TestBudgets(t *testing.T) {
	t.Parallel()
	quick := []cost{{Wall: time.Second, CPU: time.Second, Memory: 1 << 20}}
	slow := []cost{{Wall: 100 * time.Second, CPU: 100 * time.Second}}
	kept, broken, late := &bench{}, &bench{}, &bench{}
	kept.judgeUnchanged([][]cost{quick, slow}, asked{api: 3, registries: 7, processes: 1})
	assert.Empty(t, kept.broken())
	broken.judgeUnchanged([][]cost{quick, slow}, asked{api: 4, registries: 8, writes: 1, processes: 2})
	assert.Len(t, broken.broken(), 4)
	late.judgeUnchanged([][]cost{slow, quick}, asked{api: 3, registries: 7, processes: 1})
	assert.Empty(t, late.broken())
	assert.Contains(t, late.report(), "**BROKEN**")
}
