package result

import "github.com/tracebloc/image-refresh/internal/failure"

// Message is what is said: a sentence and, of a failure, what to do about it and where to read on. A table shows them one
// under the other; JSON, logs and the termination message have one string for all.
type Message struct {
	Text  string
	Since string // of a failure: since when (RFC 3339); empty where that is not known
	Fix   string
	See   string // the address of a page
}

// Said is what is said of a failure.
func Said(failed *failure.Error, runbook failure.Runbook) Message {
	return Message{Text: failed.Message, Fix: failed.Fix, See: runbook.Of(failed.Cause)}
}

// toDo is what to do, and since when.
func (m Message) toDo() string {
	if m.Since == "" {
		return m.Fix
	}
	return failure.WithFix(m.Fix, "failing since "+m.Since)
}

// String is all in one line, the sentence first.
func (m Message) String() string {
	text := failure.WithFix(m.Text, m.toDo())
	if m.See != "" {
		text += " (see " + m.See + ")"
	}
	return text
}

// MarshalText makes a string of it in JSON.
func (m Message) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// lines are the sentence after what begins its line, and the rest under it.
func (m Message) lines(begin string) []string {
	rest := m.toDo()
	switch {
	case rest != "" && m.See != "":
		rest += " (see " + m.See + ")"
	case m.See != "":
		rest = "see " + m.See
	}
	if rest == "" {
		return []string{begin + m.Text}
	}
	return []string{begin + m.Text, "  " + rest}
}
