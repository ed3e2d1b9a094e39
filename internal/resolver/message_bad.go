package resolver

import wire "github.com/tracebloc/image-refresh/internal/resolver/transport"

// What is said of an answer that is of no use. The rules of message.go hold here as well.

var (
	badOnTheWay = map[wire.Kind]string{
		wire.TooLarge:  "sent more than a manifest or token may have",
		wire.Truncated: "sent half an answer",
		wire.Downgrade: "redirected to plain HTTP",
		wire.Astray:    "redirected to nowhere, or too often",
		wire.NotHTTP:   "sent what is no HTTP answer",
	}
	badAnswer = map[detail]string{
		noChallenge: "answered 401 to /v2/ without saying how to authenticate",
		badRealm:    "named a token endpoint that no credential may be sent to: its address is not https, no address at all, or on this machine",
		badToken:    "answered without a token",
		badDigest:   "sent a digest that is not sha256: and 64 lowercase hex digits",
		notManifest: "sent a body that is no image manifest",
		schema1:     "has it in the format schema 1, which no node runs any more",
		artifact:    "has an artifact there, which is no image",
		emptyIndex:  "has an index there that holds no image",
		otherDigest: "sent a body that is not its digest's",
		badConfig:   "has no image configuration for it, or another one's",
	}
)

func badText(p *problem) string {
	if text := badOnTheWay[p.Kind]; text != "" {
		return text
	}
	if text := badAnswer[p.detail]; text != "" {
		return text
	}
	return "answered " + status(p)
}

func badFix(p *problem) string {
	switch p.detail {
	case badRealm:
		return "have its external address set right where it runs (with a proxy before it, X-Forwarded-Proto)"
	case schema1, artifact, emptyIndex:
		return "check what was pushed there"
	default:
		return "check what it is that answers there: a captive portal, a login page, a proxy?"
	}
}
