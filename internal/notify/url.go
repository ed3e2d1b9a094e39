package notify

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/teams"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// destination is one URL that parses.
type destination struct {
	position int // from 0
	scheme   string
	url      string
}

func (d destination) String() string { return named(d.position, d.scheme) }

// ordinals name the first URLs; nobody has more.
var ordinals = []string{"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}

// named is how a URL is spoken of, since it must not be quoted.
func named(position int, scheme string) string {
	name := fmt.Sprintf("URL %d", position+1)
	if position < len(ordinals) {
		name = "the " + ordinals[position] + " URL"
	}
	if scheme != "" {
		name += ", " + scheme
	}
	return name
}

// Parse reads NOTIFY_URLS: URLs as shoutrrr has them, separated by white space. Nobody is asked. Each URL that does not parse is
// one problem, which names its position and scheme, and quotes nothing of it.
func Parse(urls string) (*Sender, []error) {
	sender := &Sender{network: transport.Direct(transport.Options{Timeout: patience})}
	var problems []error
	for i, raw := range strings.Fields(urls) {
		to, err := parse(i, raw)
		if err != nil {
			problems = append(problems, fmt.Errorf("NOTIFY_URLS: %s: %w", to, err))
		}
		sender.destinations = append(sender.destinations, to)
	}
	return sender, problems
}

func parse(position int, raw string) (destination, error) {
	bare := strings.Trim(raw, `"'`)
	to := destination{position: position, url: workflow(bare)}
	scheme, _, found := strings.Cut(to.url, "://")
	if !found {
		return to, errors.New("is no URL: begin it with its service, as in slack:// or smtp://, and percent-encode blanks as %20")
	}
	scheme, _, _ = strings.Cut(strings.ToLower(scheme), "+")
	if isScheme(scheme) {
		to.scheme = scheme
	}
	if bare != raw {
		return to, errors.New("stands in quotes: remove them")
	}
	if services[scheme] == nil {
		known := strings.Join(slices.Sorted(maps.Keys(services)), ", ")
		return to, fmt.Errorf("is for no service that is known: write a webhook as generic+https://…, one of Slack as slack://hook:A-B-C@webhook, or name one of %s", known)
	}
	encoding := errors.New("does not parse: percent-encode @ # % : / ? in user names, passwords and tokens (%40 %23 %25 %3A %2F %3F), " +
		"and give all that this service needs")
	parsed, err := url.Parse(to.url)
	if err != nil || parsed.Fragment != "" { // what follows a # would be lost
		return to, encoding
	}
	if scheme == teams.Scheme && teams.ValidateWebhookURL(parsed.Query().Get("host")) != nil {
		return to, errors.New("is no webhook of a Teams workflow: write teams://?host= and the address that Workflows shows, as it is")
	}
	nobody := &offline{}
	if _, err := to.service(&http.Client{Transport: nobody}, nil); err != nil && !nobody.asked {
		return to, encoding
	}
	return to, nil
}

// isScheme keeps what is no name of a service, and so may be a part of a secret, out of messages.
func isScheme(text string) bool {
	return text != "" && len(text) < 12 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz") == ""
}

// workflow makes a URL for the library of the address of a Teams workflow, which is to be used as it is: it holds a signature
// and percent-encoded slashes, and people paste it with and without the library's form around it.
func workflow(raw string) string {
	address := raw
	for _, prefix := range []string{"teams://?host=", "teams+", "teams://"} {
		address = strings.TrimPrefix(address, prefix)
	}
	if !strings.HasPrefix(address, "https://") {
		address = "https://" + address
	}
	if teams.ValidateWebhookURL(address) != nil {
		return raw
	}
	return "teams://?host=" + url.QueryEscape(address)
}

// service makes the library's service of a URL, which asks through a client of ours.
func (d destination) service(client *http.Client, log types.StdLogger) (types.Service, error) {
	at, err := url.Parse(d.url)
	if err != nil {
		return nil, err
	}
	service := services[d.scheme]()
	if at.Scheme != d.scheme { // generic+https
		custom, ok := service.(types.CustomURLService)
		if !ok {
			return nil, errors.ErrUnsupported
		}
		if at, err = custom.GetServiceURLFromCustom(at); err != nil {
			return nil, err
		}
	}
	// Matrix logs in, and Pushbullet fills in its token, while they are initialised; others make a client of their own then.
	over, is := service.(types.HTTPClientSetter)
	if is {
		over.SetHTTPClient(client)
	}
	if err := service.Initialize(at, log); err != nil {
		return nil, err
	}
	if is && d.scheme != "pushbullet" {
		over.SetHTTPClient(client)
	}
	return service, nil
}

// offline is the network while a URL is parsed.
type offline struct{ asked bool }

// RoundTrip implements http.RoundTripper.
func (o *offline) RoundTrip(*http.Request) (*http.Response, error) {
	o.asked = true
	return nil, errors.ErrUnsupported
}
