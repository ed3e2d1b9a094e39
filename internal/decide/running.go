package decide

import (
	"slices"
	"strings"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/image"
)

// A container's image that is a tag alone does not say what runs. Its pods do, by the ID of the image that each was started
// with (imageID), which is the digest of the tag's index or of a manifest of it, or of a configuration (I70).

// bare says whether the slots are images, and none of them holds a digest.
func (e *evaluation) bare() bool {
	return !slices.ContainsFunc(e.Slots, func(s Slot) bool { return !s.Image || s.Live != annotate.Unpinned })
}

// mayRunLatest says whether latest may be what runs there already: whatever else was put there was thrown out.
func (e *evaluation) mayRunLatest() bool {
	_, rejected := e.rejection()
	return e.bare() && !rejected
}

// ran is what the pods of an unpinned slot run.
type ran struct {
	content annotate.Content // a digest, where all of them run it and that can be told; else Unpinned
	noted   *annotate.Runs   // what is to be remembered, so that the registry is not asked again
	failure *failure.Error   // why the pods could not be read
}

func (e *evaluation) asksWhatRuns() []Question {
	if !e.bare() {
		return nil
	}
	_, open := e.whatRuns()
	return open
}

// maxImages is how many images the pods of one workload may run for them to be told apart: nodes of that many platforms.
const maxImages = 8

// whatRuns reads the answers to what runs, or says what is still to be asked. What is remembered is not asked.
func (e *evaluation) whatRuns() (ran, []Question) {
	unknown := ran{content: annotate.Unpinned}
	if !e.latestKnown() {
		return unknown, nil
	}
	pods, asked := e.Answers[Question{Kind: WhatRuns}]
	if !asked {
		return unknown, []Question{{Kind: WhatRuns}}
	}
	images, latest := pods.Running.Images, e.Latest.Digest
	switch {
	case pods.Running.Failure != nil:
		return ran{content: annotate.Unpinned, failure: pods.Running.Failure}, nil
	case pods.Running.Unreadable, len(images) == 0, len(images) > maxImages, slices.Contains(images, ""):
		return unknown, nil
	case len(images) == 1 && images[0] == image.IDOf(latest):
		return ran{content: annotate.Of(latest)}, nil
	}
	before := e.Record.State.Runs
	known := before != nil && slices.Equal(before.Images, images)
	if known && before.Latest == latest {
		return meaning(before), nil
	}
	same := sameImage(latest, images)
	answer, asked := e.Answers[same]
	switch {
	case !asked:
		return unknown, []Question{same}
	case answer.Failure != nil:
		return unknown, nil
	case answer.Yes:
		return meaning(&annotate.Runs{Images: images, Latest: latest, Digest: latest}), nil
	}
	if known {
		return meaning(&annotate.Runs{Images: images, Latest: latest, Digest: before.Digest}), nil
	}
	digest := images[0].Manifest()
	if len(images) > 1 || digest == "" {
		return meaning(&annotate.Runs{Images: images, Latest: latest}), nil
	}
	if !e.Record.Recorded.Is(digest) {
		served := Question{Kind: StillServed, Digest: digest}
		switch answer, asked := e.Answers[served]; {
		case !asked:
			return unknown, []Question{served}
		case answer.Failure != nil:
			return unknown, nil
		case !answer.Yes:
			digest = ""
		}
	}
	return meaning(&annotate.Runs{Images: images, Latest: latest, Digest: digest}), nil
}

func sameImage(digest image.Digest, ids []image.ID) Question {
	var texts []string
	for _, id := range ids {
		texts = append(texts, string(id))
	}
	return Question{Kind: SameImage, Digest: digest, Images: strings.Join(texts, " ")}
}

// IDs are the images that SameImage is about.
func (q Question) IDs() []image.ID {
	var ids []image.ID
	for _, text := range strings.Fields(q.Images) {
		ids = append(ids, image.ID(text))
	}
	return ids
}

func meaning(noted *annotate.Runs) ran {
	if noted.Digest == "" {
		return ran{content: annotate.Unpinned, noted: noted}
	}
	return ran{content: annotate.Of(noted.Digest), noted: noted}
}

// runsLatest says whether a rollout of latest would change nothing that runs, and nothing asks for one all the same.
func (e *evaluation) runsLatest(found ran) bool {
	return found.content.Is(e.Latest.Digest) && !e.Policy.PinsBareTags()
}

// PinsBareTags says whether a bare tag is to be pinned though its pods run latest: a node that starts another pod takes what
// the tag means then, gated or not (I67).
func (p Policy) PinsBareTags() bool {
	return p.PinAtOnce || p.MinAge > 0 || p.Platforms || p.Verify || p.Window != nil
}

// running is the evaluation with what its pods run as recorded, where that can be told. What a deployer has taken away stays
// recorded, since it is to be put back, unless there is nothing left to do.
func (e *evaluation) running(found ran) *evaluation {
	with := *e
	with.Record.State.Runs = found.noted
	if found.content.Digest() != "" && (with.runsLatest(found) || with.acceptedUnpinned() || with.Record.Recorded.Digest() == "") {
		with.Record.Recorded = found.content
	}
	return &with
}
