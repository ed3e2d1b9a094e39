package decide

import (
	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/image"
)

// Which build a digest is tells people more than its digits do. It is what the image says of itself, so it is named beside the
// digest and never in its place, and no decision depends on it.

// buildOf is which build a digest is, as far as it is remembered here, or the gates have told.
func (e *evaluation) buildOf(digest annotate.Content) image.Build {
	if build := e.read.BuildOf(digest); build != (image.Build{}) {
		return build
	}
	return e.Answers[Question{Kind: MayRollOut, Digest: digest.Digest()}].Build
}

// builds names what is put in place of what by their builds, as in "from 1.4.1 (9f3c2ab) to 1.4.2 (a1b2c3d)": of which one is not
// known, that by its digest. It is empty where nothing is known.
func (e *evaluation) builds(from annotate.Content, to image.Digest) string {
	if from == annotate.Unpinned {
		from = e.Record.Recorded
	}
	before, after := e.buildOf(from), e.buildOf(annotate.Of(to))
	switch {
	case after == image.Build{} && !before.Named():
		return ""
	case from == annotate.None, from == annotate.Unpinned, from.Is(to):
		return after.NameAndTime("", e.Now)
	default:
		return "from " + before.Name(from.Short()) + " to " + after.NameAndTime(to.Short(), e.Now)
	}
}

// named is a digest with the build that it is, if that is known.
func (e *evaluation) named(digest annotate.Content) string {
	return e.buildOf(digest).Beside(digest.Short())
}

// withBuilds is a decision whose message also names by their builds what is put in place of what.
func (e *evaluation) withBuilds(d Decision, from annotate.Content, to image.Digest) Decision {
	if d.Builds = e.builds(from, to); d.Builds != "" {
		d.Message += ": " + d.Builds
	}
	return d
}

// replaced is what a digest was put in place of that is being recorded; none where it was put back.
func (e *evaluation) replaced(digest image.Digest) annotate.Content {
	if e.Record.Recorded.Is(digest) {
		return annotate.None
	}
	return e.Record.State.Left
}
