package credential

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Claims are what a JWT says of itself (RFC 7519). It is not verified: they only help to say what went wrong.
type Claims struct {
	Subject string `json:"sub"`
	AppID   string `json:"appid"` // in Microsoft's: the application, or managed identity
	Expires int64  `json:"exp"`   // seconds since 1970
}

// ReadClaims reads the claims of a JWT; the zero Claims where it is none.
func ReadClaims(jwt string) (claims Claims) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return Claims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return Claims{}
	}
	return claims
}

// Expires is when the password ends, where it says so itself: a JWT does, and so does a password of Amazon's ECR, which is JSON
// in base64. It is zero where that is not known.
func (c Credential) Expires() time.Time {
	at := ReadClaims(c.password).Expires
	if text, err := base64.StdEncoding.DecodeString(c.password); err == nil && at == 0 {
		var amazon struct {
			Expiration int64 `json:"expiration"`
		}
		_ = json.Unmarshal(text, &amazon) // what is no JSON says nothing
		at = amazon.Expiration
	}
	if at <= 0 {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}
