package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Notice is one thing that a message tells of.
type Notice struct {
	Target   string
	State    string // in words: not resolved, rejected, recovered, refreshed
	Workload string // as in Deployment shop/web; empty where the target itself is meant
	Cause    failure.Cause
	Sentence string    // what failed, and where; or from what to what
	Fix      string    // what to do about it; may be empty
	See      string    // the address of a page, ours; may be empty
	Since    time.Time // when the state began; zero where unknown, or over
	Lasted   string    // how long what is over has lasted; empty where nothing is
}

// Bounds of a message, in bytes. Telegram refuses 4096, with markup of its own.
const (
	maxText     = 3000
	maxSentence = 500
)

// Compose words notices as one message, the first of them first, without its Result. cluster may be empty.
func Compose(cluster, namespace string, notices []Notice) Message {
	cluster = failure.Clean(cluster)
	place := []string{"namespace " + plain(namespace)}
	if cluster != "" {
		place = []string{"cluster " + plain(cluster), place[0]}
	}
	message := Message{Title: "image-refresh"}
	if len(notices) > 0 {
		message.Title += ": " + plain(notices[0].Target) + " " + plain(notices[0].State)
	}
	if more := len(notices) - 1; more > 0 {
		message.Title += fmt.Sprintf(", and %d more", more)
	}
	message.Title += " (" + strings.Join(place, ", ") + ")"
	for i, notice := range notices {
		text := notice.text()
		if i > 0 {
			text = "\n----\n" + text // some services make an item of each line, and refuse an empty one
		}
		if len(message.Text)+len(text) > maxText {
			message.Text += fmt.Sprintf("\n----\nand %d more", len(notices)-i)
			break
		}
		message.Text += text
	}
	return message
}

// Test is what the command check sends with --notify.
func Test(cluster, namespace string) Message {
	message := Compose(cluster, namespace, []Notice{{Target: "test", State: "this message was asked for, and nothing is wrong"}})
	message.Result = []byte(`{"test":true}`)
	return message
}

func (n Notice) text() string {
	first := plain(n.Target) + ": " + plain(n.State)
	if n.Cause != failure.None {
		first += ", " + string(n.Cause)
	}
	if n.Lasted != "" {
		first += ", after " + n.Lasted
	}
	lines := []string{first}
	add := func(before, text string) {
		if text != "" {
			lines = append(lines, before+text)
		}
	}
	add("", plain(n.Workload))
	add("", plain(n.Sentence))
	add("To do: ", plain(n.Fix))
	if !n.Since.IsZero() {
		add("Since ", n.Since.UTC().Format("2006-01-02 15:04 UTC"))
	}
	add("", n.See)
	return strings.Join(lines, "\n")
}

// toPlain takes from a text what a chat makes a mention, a link or markup of.
var toPlain = strings.NewReplacer("<", "", ">", "", "[", "", "]", "", "`", "", "@", " ", "://", " ")

// plain is a text of which parts may not be ours, in one line, as every chat shows it: it pings nobody and links nowhere.
func plain(text string) string {
	return failure.Cut(strings.Join(strings.Fields(toPlain.Replace(text)), " "), maxSentence)
}
