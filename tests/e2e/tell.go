//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/tracebloc/image-refresh/tests/sandbox"
	"github.com/tracebloc/image-refresh/tests/transcript"
)

// chapters are the story, in its order. Each has an application and a release
// of the chart of its own.
var chapters = []struct {
	name, heading string
	tell          func(*chapter)
}{
	{"image", "The program's image, as buildah makes it of the Dockerfile.", theImage},
	{"schedule", "The chart is installed with Helm. Its schedule fires, a person is quicker, and releases reach running pods.", onSchedule},
	{"platform", "I24: a release lacks the platform of the node.", theWrongPlatform},
	{"crash", "A release crashes, where the old pod is stopped before the new one starts.", theCrash},
	{"layers", "A release cannot be pulled.", theMissingLayers},
	{"secret", "I25: the pull secret's account expires while the old pods run.", theDeadSecret},
	{"firewall", "A firewall cuts the way to one of two registries.", theFirewall},
	{"permissions", "Every permission is taken away once, and each is named.", thePermissions},
	{"stuck", "I10 and I11: a pod waits for its volume, another is never ready.", theStuck},
	{"unschedulable", "I49: no node takes the new pod, and the service is down.", theUnschedulable},
	{"quota", "I49: a quota has no place for a pod more.", theQuota},
	{"away", "I50: the node goes away in the middle of a rollout.", theNodeAway},
	{"power", "The node loses its power in the middle of a tick.", thePowerCut},
	{"incluster", "I20: the API server has an IPv6 address, and the tick is one process that shows no token.", inCluster},
	{"upgrade", "I30: a release of the first chart is upgraded with --reuse-values, by Helm 3 and Helm 4.", theOldRelease},
}

// tell brings the world up, tells every chapter whatever became of those before
// it, and takes the world down. Names of chapters as arguments choose some.
func tell(ctx context.Context, box sandbox.Box) (exitCode int, err error) {
	begun := time.Now()
	n := &transcript.Printer{Out: os.Stdout}
	n.Title("image-refresh, on a real Kubernetes node")
	w, err := newWorld(ctx, n, box)
	defer func() { err = errors.Join(err, w.stop()) }()
	if err != nil {
		return 0, err
	}
	n.Say(fmt.Sprintf("Node, control plane and registries are up after %s.", since(begun)))
	var passed, failed int
	for _, part := range chapters {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], part.name) {
			continue
		}
		if w.tell(ctx, part.name, part.heading, part.tell) {
			passed++
		} else {
			failed++
		}
		if ctx.Err() != nil {
			return 0, errors.New("interrupted")
		}
	}
	n.Print("")
	n.Say(fmt.Sprintf("Told in %s.", since(begun)))
	n.Print(fmt.Sprintf("chapters: %d passed, %d failed", passed, failed))
	if failed > 0 || passed == 0 {
		return 1, nil
	}
	return 0, nil
}

func since(begun time.Time) time.Duration { return time.Since(begun).Round(100 * time.Millisecond) }

// tell tells one chapter, and says whether it holds.
func (w *world) tell(ctx context.Context, name, heading string, story func(*chapter)) bool {
	ctx, cancel := context.WithTimeout(ctx, chapterTimeout)
	defer cancel()
	w.Heading(heading)
	begun := time.Now()
	c := &chapter{world: w, ctx: ctx, namespace: name}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer c.clean()
		story(c)
	}()
	<-ended
	w.Print("")
	if c.failed {
		w.Print(w.node.Logs(logLines))
		w.Print(fmt.Sprintf("--- FAILED after %s", since(begun)))
		return false
	}
	w.Print(fmt.Sprintf("--- holds (%s)", since(begun)))
	return true
}

// logLines is how much of each component's log a chapter that fails shows.
const logLines = 15

// chapter is one part of the story. It ends itself, as a test does, where
// something does not hold.
type chapter struct {
	*world
	ctx       context.Context // of the chapter, for whatever it asks
	namespace string
	failed    bool
	cleanups  []func()
	ticks     int
}

// Errorf says what does not hold.
func (c *chapter) Errorf(format string, args ...any) {
	c.failed = true
	c.Print(fmt.Sprintf("FAILED: "+format, args...))
}

// FailNow ends the chapter.
func (c *chapter) FailNow() {
	c.failed = true
	runtime.Goexit()
}

// cleanup has a function run when the chapter ends, the last one first.
func (c *chapter) cleanup(do func()) { c.cleanups = append(c.cleanups, do) }

func (c *chapter) clean() {
	for _, do := range slices.Backward(c.cleanups) {
		do()
	}
}
