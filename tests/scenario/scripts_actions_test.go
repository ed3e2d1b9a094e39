package scenario_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// push NAME [REFERENCE] [PLATFORM...] [SAID...] [alone] [BEHAVIOUR...] moves a tag on to a build whose pods behave so. Its digest is
// $NAME from then on, $NAME_short as messages have it, $NAME_digits as labels do, and $NAME_image that of its first image. SAID is
// what it says of itself: label:FIELD=VALUE in its configuration, image:FIELD=VALUE in its manifest, index:FIELD=VALUE in its index,
// which there is none of where it is alone. FIELD is version, revision or created; VALUE may have escapes as in Go, and *N after it
// repeats it.
func (s *script) push(args []string) {
	reference, platforms, rest := ingestor, []string(nil), args[1:]
	said := map[string]map[string]string{}
	for ; len(rest) > 0 && strings.ContainsAny(rest[0], ":/"); rest = rest[1:] {
		where, what, _ := strings.Cut(rest[0], ":")
		field, value, says := strings.Cut(what, "=")
		switch {
		case says:
			if said[where] == nil {
				said[where] = map[string]string{}
			}
			said[where]["org.opencontainers.image."+field] = s.repeated(value)
		case what != "":
			reference = rest[0]
		default:
			platforms = append(platforms, rest[0])
		}
	}
	if len(platforms) == 0 {
		platforms = []string{"linux/amd64"}
	}
	says := registries.Said{Labels: said["label"], Image: said["image"], Index: said["index"]}
	content := registries.IndexThatSays(says, args[0], platforms...)
	if len(rest) > 0 && rest[0] == "alone" {
		content, rest = registries.ImageThatSays(says, args[0], platforms[0]), rest[1:]
	}
	digest := s.Push(reference, content)
	s.builds[digest] = content
	s.TestScript.Setenv(args[0], digest)
	s.TestScript.Setenv(args[0]+"_short", digest[:19])
	s.TestScript.Setenv(args[0]+"_digits", digest[len("sha256:"):][:40])
	manifest, _, err := content.Parts()
	s.Check(err)
	s.TestScript.Setenv(args[0]+"_image", manifest)
	if len(rest) > 0 {
		s.pods(append([]string{digest}, rest...))
	}
}

// repeated is a text with escapes, so many times.
func (s *script) repeated(value string) string {
	value, times, many := strings.Cut(value, "*")
	text, err := strconv.Unquote(`"` + value + `"`)
	s.Check(err)
	if many {
		text = strings.Repeat(text, s.number(times))
	}
	return text
}

// untag [REFERENCE] deletes from the registry.
func (s *script) untag(args []string) { s.Check(s.Site.Delete(append(args, ingestor)[0])) }

// retag DIGEST moves the tag back to a digest.
func (s *script) retag(args []string) { s.Check(s.Site.Tag(ingestor, args[0])) }

// block has the proxy refuse ghcr.io, until unblock.
func (s *script) block([]string) { s.unblock = s.Site.Proxy.Refuse("ghcr.io", http.StatusForbidden) }

// refuse WHAT STATUS has ghcr.io answer requests with "/WHAT/" in their path so, until unblock.
func (s *script) refuse(args []string) {
	what := func(c registries.Call) bool {
		return c.Host == "ghcr.io" && strings.Contains(c.Path+"/", "/"+args[0]+"/")
	}
	s.unblock = s.Site.Front.Inject(registries.Fault{Match: what, Do: faultinject.Reply(s.number(args[1]), "{}")})
}

func (s *script) unblocked([]string) { s.unblock() }

// deploy [KIND[/NAME]] WHAT... deploys a workload, "jobs" where no name is given. WHAT is
//
//	DIGEST                the container api with the digest in its variable, a slot
//	CONTAINER=IMAGE       a container whose image is a slot; a digest alone is one of the tag
//	CONTAINER/NAME=VALUE  a variable that is a slot
//	+CONTAINER=IMAGE, +CONTAINER/NAME=VALUE  the same, and no slot; -CONTAINER/NAME is a slot that is not there
//	from:CONTAINER/NAME   a variable that is a slot, fed from a ConfigMap; envFrom:CONTAINER is all variables of a container
//	recreate, rolling, never, replicas:N, label:KEY=VALUE, selector:KEY=VALUE, and spec:JSON for anything else
func (s *script) deploy(args []string) {
	kind, name := "Deployment", "jobs"
	if isKind.MatchString(args[0]) {
		kind, name, _ = strings.Cut(args[0]+"/jobs", "/")
		name, _, _ = strings.Cut(name, "/")
		args = args[1:]
	}
	d := &deployment{}
	var options []workloads.Option
	containers, spec := map[string]bool{}, ""
	for _, arg := range args {
		what, value, _ := strings.Cut(arg, ":")
		key, text, _ := strings.Cut(value, "=")
		if option := s.option(what, value, key, text); option != nil {
			options = append(options, option)
			continue
		}
		switch what {
		case "rolling":
			continue
		case "from", "envFrom":
			container, variable, _ := strings.Cut(value, "/")
			options = append(options, workloads.Container(container, jobsManager), workloads.EnvFrom(container, "settings"))
			if what == "from" {
				d.slots = append(d.slots, place{container, variable})
				options[len(options)-1] = workloads.EnvFromConfigMap(container, variable, "settings", "digest")
			}
			continue
		case "spec":
			spec = `{"spec":` + value + `}`
			continue
		}
		if arg == "" || what == "sha256" {
			arg = "api/" + slot + "=" + arg
		}
		where, value, _ := strings.Cut(arg, "=")
		container, variable, isEnv := strings.Cut(strings.TrimPrefix(where, "+"), "/")
		if !strings.HasPrefix(where, "+") {
			d.slots = append(d.slots, place{strings.TrimPrefix(container, "-"), variable})
		}
		if strings.HasPrefix(where, "-") {
			continue
		}
		switch {
		case !isEnv:
			options = append(options, workloads.Container(container, reference(value)))
		case !containers[container]:
			options = append(options, workloads.Container(container, jobsManager))
			fallthrough
		default:
			options = append(options, workloads.Env(container, variable, value))
		}
		containers[container] = true
	}
	d.Object = build(kind, name, options...)
	if spec != "" {
		s.Check(json.Unmarshal([]byte(spec), d.Object))
	}
	if s.byHand {
		s.Kubectl("create", "-f", s.file(d.Object))
		s.Settle(d.Object)
	} else {
		s.Deploy(d.Object)
	}
	if i := slices.IndexFunc(s.deployed, func(other *deployment) bool { return d.is(other.kind() + "/" + other.GetName()) }); i >= 0 {
		s.deployed[i] = d
		return
	}
	s.deployed = append(s.deployed, d)
}

// option is what a word of deploy stands for, nil where it is none.
func (s *script) option(word, value, key, text string) workloads.Option {
	switch word {
	case "recreate":
		return workloads.Recreate()
	case "never":
		return workloads.Pod(func(pod *corev1.PodTemplateSpec) { pod.Spec.Containers[0].ImagePullPolicy = corev1.PullNever })
	case "replicas":
		return workloads.Replicas(int32(s.number(value)))
	case "label":
		return workloads.Label(key, text)
	case "selector":
		return workloads.NodeSelector(key, text)
	}
	return nil
}

var isKind = regexp.MustCompile(`^(Deployment|StatefulSet|DaemonSet|CronJob)(/|$)`)

func (d *deployment) kind() string        { return d.GetObjectKind().GroupVersionKind().Kind }
func (d *deployment) is(name string) bool { return d.kind()+"/"+d.GetName() == name }

// reference is an image: a digest alone is one of the tag.
func reference(value string) string {
	if strings.HasPrefix(value, "sha256:") {
		return ingestor + "@" + value
	}
	return value
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	s.Check(err)
	return n
}

// pick takes a leading KIND/NAME from the arguments; without one, the first that was deployed is meant.
func (s *script) pick(args []string) (*deployment, []string) {
	if len(args) > 0 && isKind.MatchString(args[0]) {
		for _, d := range s.deployed {
			if d.is(args[0]) {
				return d, args[1:]
			}
		}
		s.Fatalf("%s is not deployed", args[0])
	}
	return s.deployed[0], args
}

// adopt [DEPLOY...] [-- CONFIGURE...] deploys, configures, and has a tick adopt everything.
func (s *script) adopt(args []string) {
	deploy, lines := args, []string(nil)
	if i := slices.Index(args, "--"); i >= 0 {
		deploy, lines = args[:i], args[i+1:]
	}
	if len(deploy) > 0 {
		s.deploy(deploy)
	}
	s.configure(lines)
	s.tick([]string{"0", "adopted"})
}

// refresh NAME pushes a build, and has a tick roll it out.
func (s *script) refresh(args []string) {
	s.push(args)
	s.tick([]string{"0", "refreshed"})
}

// create is deploy by kubectl create.
func (s *script) create(args []string) {
	s.byHand = true
	s.deploy(args)
}

// configure [LINE...] has the target "ingestor" follow every slot that is deployed, with further lines; KEY=VALUE is one without
// blanks.
func (s *script) configure(lines []string) {
	entries := ""
	for i, line := range lines {
		if !strings.Contains(line, ": ") {
			lines[i] = strings.Replace(line, "=", ": ", 1)
		}
	}
	for _, d := range s.deployed {
		for _, p := range d.slots {
			more := []string(nil)
			if p.variable != "" {
				more = []string{"env: " + p.variable}
			}
			entries += entry(d.kind(), d.GetName(), p.container, more...)
		}
	}
	s.write("ingestor", targetOf("ingestor", ingestor, entries, lines...))
}

// target NAME IMAGE KIND/NAME[:CONTAINER][,MORE...] ... [LINE...] sets a target, and leaves the others as they are.
func (s *script) target(args []string) {
	entries, lines := "", []string(nil)
	for _, arg := range args[2:] {
		if !isKind.MatchString(arg) {
			lines = append(lines, arg)
			continue
		}
		parts := strings.Split(arg, ",")
		object, container, _ := strings.Cut(parts[0], ":")
		kind, name, _ := strings.Cut(object, "/")
		entries += entry(kind, name, container, parts[1:]...)
	}
	s.write(args[0], targetOf(args[0], args[1], entries, lines...))
}

func (s *script) write(name, text string) {
	i := slices.IndexFunc(s.targets, func(t scriptTarget) bool { return t.name == name })
	if i < 0 {
		i, s.targets = len(s.targets), append(s.targets, scriptTarget{})
	}
	s.targets[i] = scriptTarget{name, text}
	config := "targets:\n"
	for _, t := range s.targets {
		config += t.text
	}
	s.Configure(config)
}

// rename NAME gives the only target another name.
func (s *script) rename(args []string) {
	s.Configure("targets:\n" + strings.Replace(s.targets[0].text, "name: ingestor", "name: "+args[0], 1))
}

// setenv NAME=VALUE... sets variables of the program.
func (s *script) setenv(args []string) {
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		s.Scenario.Setenv(name, value)
	}
}

// values are what slots are set to: one value for all, one for each slot in turn, or CONTAINER=VALUE for one.
func (d *deployment) values(args []string) map[place]string {
	values := map[place]string{}
	for i, p := range d.slots {
		value := args[min(i, len(args)-1)]
		if container, one, named := strings.Cut(args[0], "="); named {
			if container != p.container {
				continue
			}
			value = one
		}
		if p.variable == "" {
			value = reference(value)
		}
		values[p] = value
	}
	return values
}

// person [KIND/NAME] VALUE... sets slots with kubectl.
func (s *script) person(args []string) {
	d, args := s.pick(args)
	for p, value := range d.values(args) {
		if p.variable == "" {
			s.Kubectl("set", "image", d.kind()+"/"+d.GetName(), p.container+"="+value)
		} else {
			s.Kubectl("set", "env", d.kind()+"/"+d.GetName(), "-c", p.container, p.variable+"="+value)
		}
	}
	s.Settle(d.Object)
}

// upgrade MANAGER VALUE... [&] sets slots as a deployer; with & it does not wait until that is settled.
func (s *script) upgrade(args []string) {
	d, values := s.deployed[0], args[1:]
	waits := values[len(values)-1] != "&"
	if !waits {
		values = values[:len(values)-1]
	}
	s.Patch(args[0], d.Object, d.renders(values))
	if waits {
		s.Settle(d.Object)
	}
}

// renders is the strategic merge patch that sets slots.
func (d *deployment) renders(args []string) string {
	var containers []map[string]any
	for p, value := range d.values(args) {
		container := map[string]any{"name": p.container}
		if p.variable == "" {
			container["image"] = value
		} else {
			container["env"] = []map[string]string{{"name": p.variable, "value": value}}
		}
		containers = append(containers, container)
	}
	text, err := json.Marshal(containers)
	if err != nil {
		panic(err) // strings encode
	}
	return `{"spec":{"template":{"spec":{"containers":` + string(text) + `}}}}`
}

// apply MANAGER VALUE... deploys the workload as before but for its slots, by server-side apply; client and server are kubectl's.
func (s *script) apply(args []string) {
	d := s.deployed[0]
	d.set(args[1:])
	if args[0] != "client" && args[0] != "server" {
		d.SetAnnotations(map[string]string{"applied": "again"}) // an apply that changes nothing has no time
		s.Check(s.Apply(args[0], d.Object))
		s.Settle(d.Object)
		return
	}
	flags := map[string][]string{"server": {"--server-side", "--force-conflicts"}}[args[0]]
	s.Kubectl(append([]string{"apply", "-f", s.file(d.Object)}, flags...)...)
	s.Settle(d.Object)
}

// replace VALUE... runs kubectl replace.
func (s *script) replace(args []string) {
	now := &deployment{s.now(s.deployed[0]), s.deployed[0].slots}
	now.set(args)
	now.SetResourceVersion("")
	now.SetManagedFields(nil)
	s.Kubectl("replace", "-f", s.file(now.Object))
}

// set sets slots in the object at hand.
func (d *deployment) set(args []string) {
	values := d.values(args)
	for i := range workloads.Template(d.Object).Spec.Containers {
		c := &workloads.Template(d.Object).Spec.Containers[i]
		if image, is := values[place{c.Name, ""}]; is {
			c.Image = image
		}
		for j := range c.Env {
			if value, is := values[place{c.Name, c.Env[j].Name}]; is {
				c.Env[j].Value = value
			}
		}
	}
}

func (s *script) file(object workloads.Object) string {
	path := filepath.Join(s.Dir, "object.json")
	s.Check(os.WriteFile(path, asJSON(s.t, object), 0o600))
	return path
}

// patch MANAGER JSON changes the workload in any other way: by strategic merge patch.
func (s *script) patch(args []string) {
	d, rest := s.pick(args[1:])
	s.Patch(args[0], d.Object, strings.Join(rest, ""))
}

// overwrite MANAGER puts the whole object there as it was deployed.
func (s *script) overwrite(args []string) {
	options := metav1.UpdateOptions{FieldManager: args[0]}
	_, err := s.Client.AppsV1().Deployments(s.Namespace).Update(s.t.Context(), s.deployed[0].Object.(*appsv1.Deployment), options)
	s.Check(err)
}

// relabel MANAGER DIGEST [without-slots] writes the mark as whoever has a live object of earlier in git.
func (s *script) relabel(args []string) {
	d := s.deployed[0]
	var slots []string
	for _, p := range d.slots {
		slots = append(slots, strings.TrimSuffix(p.container+"/"+p.variable, "/"))
	}
	to := labelFor(args[1], slots...)
	if len(args) > 2 {
		to = label(args[1])
	}
	s.Patch(args[0], d.Object, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, mark, to))
}

// strip takes all annotations of ours out, as an operator does that sets all annotations of its Deployment.
func (s *script) strip([]string) {
	s.Patch("operator", s.deployed[0].Object, fmt.Sprintf(`{"metadata":{"annotations":{%q:null,%q:null,%q:null,%q:null,%q:null,"operator":%q}}}`,
		recorded, state, failures, lastError, streak, time.Now().String()))
}

// counted-ahead adds to the state who counted last, as version 1 kept it: a tick whose clock was centuries ahead.
func (s *script) countedAhead([]string) {
	kept := map[string]any{"version": 1}
	if text := s.Deployment("jobs").Annotations[state]; text != "" {
		s.Check(json.Unmarshal([]byte(text), &kept))
	}
	kept["counted"] = map[string]string{"by": "somebody", "at": "2999-01-01T00:00:00Z"}
	text, err := json.Marshal(kept)
	s.Check(err)
	s.Patch("image-refresh", s.Deployment("jobs"), fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, state, text))
}

func (s *script) kubectl(args []string) { s.printed = s.Kubectl(args...) }

var command = regexp.MustCompile(`kubectl [^:;]*[^:; ]`)

// follow runs the commands that the last message names.
func (s *script) follow([]string) {
	for _, line := range command.FindAllString(s.message, -1) {
		for one := range strings.SplitSeq(line, " && ") {
			s.Kubectl(strings.Fields(strings.TrimPrefix(one, "kubectl "))...)
		}
	}
	s.settle(nil)
}

// undo [FLAG...] runs kubectl rollout undo, and waits until that is settled.
func (s *script) undo(flags []string) {
	d := s.deployed[0]
	s.Kubectl(append([]string{"rollout", "undo", d.kind() + "/" + d.GetName()}, flags...)...)
	s.Settle(d.Object)
}

// settle waits until all that is deployed is settled.
func (s *script) settle([]string) {
	for _, d := range s.deployed {
		s.Settle(d.Object)
	}
}

// await [KIND/NAME] FIELD=VALUE... waits until fields of the status are so, the revision is, the slot, or the reason of a condition;
// "await watching" until a tick waits for a rollout.
func (s *script) await(args []string) {
	d, wanted := s.pick(args)
	reminded := time.Now()
	s.Eventually(strings.Join(args, " "), func() bool {
		now := look(s.Scenario, d.kind(), d.GetName())
		text, err := json.Marshal(now)
		s.Check(err)
		var fields struct{ Status map[string]any }
		s.Check(json.Unmarshal(text, &fields))
		return !slices.ContainsFunc(wanted, func(one string) bool {
			field, value, _ := strings.Cut(one, "=")
			switch field {
			case "watching":
				return len(s.API.Requests(waits)) == 0
			case "revision":
				return strconv.Itoa(rollouts(s.t, s.Scenario, d.kind(), d.GetName())) != value
			case "live":
				return d.holds(now, d.slots[0]) != value
			case "reason":
				if time.Since(reminded) > 5*time.Second { // a busy controller may forget to look again when the deadline is over
					reminded = time.Now()
					s.Kubectl("annotate", "--overwrite", d.kind()+"/"+d.GetName(), "reminded="+reminded.Format("150405"))
				}
				return !strings.Contains(string(text), `"reason":"`+value+`"`)
			}
			n, _ := fields.Status[field].(float64)
			return strconv.Itoa(int(n)) != value
		})
	})
}

// forbid RESOURCE takes the program's rights to a resource away.
func (s *script) forbid(args []string) {
	s.Grant(s.Namespace, slices.DeleteFunc(harness.Rules(), func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.Resources, args[0])
	})...)
}

// api VERB RESOURCE refuses|hangs has the API server refuse such requests, or never answer; "api answers" ends that.
func (s *script) api(args []string) {
	if args[0] == "answers" {
		s.unblock()
		return
	}
	do := faultinject.Hang()
	if args[2] == "refuses" {
		do = apiproxy.Refuse(http.StatusUnprocessableEntity, "Invalid", "an admission webhook says no")
	}
	s.unblock = s.API.Inject(apiproxy.Fault{Match: apiproxy.Verb(args[0], args[1]), Do: do})
}

// clock HOURS|TIME|stands|silent has the API server say that it is so many hours later, that it is a time (RFC 3339) now, always
// the same time, or none.
func (s *script) playClock(args []string) {
	notWatches := func(r apiproxy.Request) bool { return r.Verb != "watch" }
	switch args[0] {
	case "silent":
		s.API.Inject(apiproxy.Fault{Match: notWatches, Do: faultinject.Header("Date", "")})
		return
	case "stands":
		s.API.Inject(apiproxy.Fault{Match: notWatches, Do: faultinject.Header("Date", time.Now().UTC().Format(http.TimeFormat))})
		return
	}
	hours, err := strconv.ParseFloat(args[0], 64)
	if at, isTime := time.Parse(time.RFC3339, args[0]); isTime == nil {
		hours, err = time.Until(at).Hours(), nil
	}
	s.Check(err)
	if s.clock == nil {
		s.clock = playClock(s.Scenario)
	}
	s.clock(hours)
}

func (s *script) sleep(args []string) {
	d, err := time.ParseDuration(args[0])
	s.Check(err)
	time.Sleep(d)
}

// noplan has PLAN_FIRST make no plan before ticks that it would change.
func (s *script) noplan([]string) { s.WithoutPlan() }

// start starts a tick, which finish awaits, or a signal ends.
func (s *script) start([]string)   { s.running = s.Start() }
func (s *script) sigkill([]string) { s.running.Kill() }
func (s *script) forget([]string)  { s.Forget() }

// sigterm tells the tick to end, which it does within 5 s.
func (s *script) sigterm([]string) {
	asked := time.Now()
	s.Check(s.running.Signal(syscall.SIGTERM))
	<-s.running.Ended()
	assert.Less(fails{s.TestScript}, time.Since(asked), 5*time.Second)
}

// hook opens|refuses|answers [KEY=VALUE...]: people are told by messages to a webhook of Slack, which may refuse them.
func (s *script) hook(args []string) {
	switch args[0] {
	case "opens":
		s.inbox = &inbox{}
		s.inbox.serve(s.Scenario, map[string]string{"hooks.slack.com": "ok"})
		s.Scenario.Setenv("NOTIFY_URLS", hookURL)
		s.setenv(args[1:])
	case "refuses":
		s.deaf = s.Site.Front.Inject(registries.Fault{Match: registries.At("hooks.slack.com"), Do: faultinject.Reply(http.StatusForbidden, "no")})
	case "answers":
		s.deaf()
	default:
		s.Fatalf("hook %v", args)
	}
}
