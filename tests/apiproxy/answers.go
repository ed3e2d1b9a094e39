package apiproxy

import (
	"encoding/json"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/faultinject"
)

// Refuse answers with a Status as the API server words it: code 403 and
// "Forbidden", 409 and "Conflict", 410 and "Expired", 500 and "InternalError".
func Refuse(code int32, reason metav1.StatusReason, message string, headers ...string) faultinject.Action {
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	})
	if err != nil {
		panic(fmt.Sprintf("a Status does not encode: %v", err)) // it has no field that could fail
	}
	return faultinject.Reply(int(code), string(body), append([]string{"Content-Type", "application/json"}, headers...)...)
}

// TooManyRequests answers 429 with Retry-After, as an overloaded API server.
func TooManyRequests(seconds int) faultinject.Action {
	return Refuse(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "the server is busy",
		"Retry-After", fmt.Sprint(seconds))
}

// Gone answers a watch with the error event of a resourceVersion that the
// server no longer has, the way it does after the watch was accepted.
func Gone() faultinject.Action {
	return faultinject.Reply(http.StatusOK, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},`+
		`"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}`+"\n",
		"Content-Type", "application/json")
}
