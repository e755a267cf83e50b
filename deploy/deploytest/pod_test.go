//go:build deploy

package deploytest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deployment is a Deployment or a ServingRuntime as far as these tests look.
type deployment struct {
	Spec struct {
		Containers []container `yaml:"containers"` // of a ServingRuntime
		Template   struct {
			Metadata struct {
				Labels map[string]string `yaml:"labels"`
			} `yaml:"metadata"`
			Spec pod `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type pod struct {
	Grace           int         `yaml:"terminationGracePeriodSeconds"`
	MountsToken     *bool       `yaml:"automountServiceAccountToken"`
	Init            []container `yaml:"initContainers"`
	Containers      []container `yaml:"containers"`
	SecurityContext struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
		RunAsUser    int  `yaml:"runAsUser"`
		Seccomp      struct {
			Type string `yaml:"type"`
		} `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	Volumes []struct {
		Name string `yaml:"name"`
	} `yaml:"volumes"`
}

type container struct {
	Name    string   `yaml:"name"`
	Command []string `yaml:"command"`
	Args    []string `yaml:"args"`
	Ports   []port   `yaml:"ports"`

	Startup   probe `yaml:"startupProbe"`
	Readiness probe `yaml:"readinessProbe"`
	Liveness  probe `yaml:"livenessProbe"`
	Lifecycle struct {
		PreStop struct {
			Sleep struct {
				Seconds int `yaml:"seconds"`
			} `yaml:"sleep"`
		} `yaml:"preStop"`
	} `yaml:"lifecycle"`

	SecurityContext struct {
		RunAsNonRoot bool  `yaml:"runAsNonRoot"`
		ReadOnlyRoot bool  `yaml:"readOnlyRootFilesystem"`
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		Capabilities struct {
			Drop []string `yaml:"drop"`
		} `yaml:"capabilities"`
	} `yaml:"securityContext"`
	Resources struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	Mounts []struct {
		Name     string `yaml:"name"`
		Path     string `yaml:"mountPath"`
		ReadOnly bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type port struct {
	Name   string `yaml:"name"`
	Number int    `yaml:"containerPort"`
}

type probe struct {
	GRPC *struct {
		Port int `yaml:"port"`
	} `yaml:"grpc"`
	HTTP *struct {
		Path   string `yaml:"path"`
		Port   string `yaml:"port"`
		Scheme string `yaml:"scheme"`
	} `yaml:"httpGet"`
}

// main is the container of the server.
func (d deployment) main(t *testing.T) container {
	t.Helper()
	all := append(slices.Clone(d.Spec.Template.Spec.Containers), d.Spec.Containers...)
	if len(all) != 1 {
		t.Fatalf("%d containers", len(all))
	}
	return all[0]
}

// flag is the value of an argument.
func (c container) flag(name string) string {
	for _, argument := range c.Args {
		if value, ok := strings.CutPrefix(argument, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

func seconds(t *testing.T, value string) int {
	t.Helper()
	d, err := time.ParseDuration(value)
	if err != nil {
		t.Fatal(err)
	}
	return int(d.Seconds())
}

func mebibytes(t *testing.T, value string) int {
	t.Helper()
	for suffix, factor := range map[string]int{"MiB": 1, "Mi": 1, "Gi": 1024} {
		if number, ok := strings.CutSuffix(value, suffix); ok {
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			return n * factor
		}
	}
	t.Fatalf("%q is no number of MiB or GiB", value)
	return 0
}

// What must hold of every pod, whatever the values.
func TestPods(t *testing.T) {
	for _, values := range variants(t) {
		t.Run(filepath.Base(values), func(t *testing.T) {
			manifests, err := render(t, "--values", values)
			if err != nil {
				t.Fatalf("%v\n%s", err, manifests)
			}
			for _, d := range parse[deployment](t, manifests, "Deployment") {
				checkPod(t, d.Spec.Template.Spec)
				checkServer(t, d.main(t), d.Spec.Template.Spec.Grace)
				if list := d.main(t).flag("tls-client-crl"); filepath.Base(values) == "secure.yaml" && list != "/etc/sluice/crl/clients.crl" {
					t.Errorf("the revocation lists are %q", list)
				}
			}
		})
	}
}

func checkPod(t *testing.T, p pod) {
	t.Helper()
	if s := p.SecurityContext; !s.RunAsNonRoot || s.RunAsUser == 0 || s.Seccomp.Type != "RuntimeDefault" {
		t.Errorf("the pod's security context is %+v", s)
	}
	if p.MountsToken == nil || *p.MountsToken {
		t.Error("the pod has a token for the API server, which it never asks")
	}
	for _, c := range append(slices.Clone(p.Init), p.Containers...) {
		if s := c.SecurityContext; !s.RunAsNonRoot || !s.ReadOnlyRoot || s.Escalation == nil || *s.Escalation || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s: the security context is %+v", c.Name, s)
		}
		if c.Resources.Requests["cpu"] == "" || c.Resources.Requests["memory"] == "" || c.Resources.Limits["memory"] != c.Resources.Requests["memory"] {
			t.Errorf("%s: resources %+v", c.Name, c.Resources)
		}
		for _, m := range c.Mounts {
			found := false
			for _, v := range p.Volumes {
				found = found || v.Name == m.Name
			}
			if !found {
				t.Errorf("%s mounts the volume %q, which is not there", c.Name, m.Name)
			}
		}
	}
}

// checkServer holds a container of the server to what its own arguments say.
func checkServer(t *testing.T, c container, grace int) {
	t.Helper()
	takes(t, c.Args)
	if drain := c.Lifecycle.PreStop.Sleep.Seconds + seconds(t, c.flag("drain-delay")) + seconds(t, c.flag("drain-timeout")); grace <= drain {
		t.Errorf("the pod is killed after %d s, and drains for up to %d", grace, drain)
	}
	if kv, limit := mebibytes(t, c.flag("kv-cache-bytes")), mebibytes(t, c.Resources.Limits["memory"]); kv+256 > limit {
		t.Errorf("%d MiB for keys and values leave nothing for the weights in %d", kv, limit)
	}
	for name, p := range map[string]probe{"startup": c.Startup, "readiness": c.Readiness, "liveness": c.Liveness} {
		switch {
		case p.GRPC != nil:
			if ":"+strconv.Itoa(p.GRPC.Port) != c.flag("grpc-addr") {
				t.Errorf("the %s probe asks port %d, the server listens on %s", name, p.GRPC.Port, c.flag("grpc-addr"))
			}
			if c.flag("tls-cert") != "" || name == "liveness" {
				t.Errorf("the %s probe asks by gRPC: it knows no TLS, and NOT_SERVING is not dead", name)
			}
		case p.HTTP != nil:
			if (p.HTTP.Scheme == "HTTPS") != (c.flag("tls-cert") != "") {
				t.Errorf("the %s probe speaks %q", name, p.HTTP.Scheme)
			}
			port := p.HTTP.Port
			for _, named := range c.Ports {
				if named.Name == port {
					port = strconv.Itoa(named.Number)
				}
			}
			if ":"+port != c.flag("http-addr") {
				t.Errorf("the %s probe asks port %s, the server listens on %s", name, p.HTTP.Port, c.flag("http-addr"))
			}
			if want := map[string]string{"liveness": "/livez"}[name]; want != "" && p.HTTP.Path != want {
				t.Errorf("the %s probe asks %s", name, p.HTTP.Path)
			}
		default:
			t.Errorf("there is no %s probe", name)
		}
	}
	for _, argument := range c.Args { // every file that the server reads lies on a volume
		if _, path, ok := strings.Cut(argument, "=/"); ok && !strings.HasPrefix(path, "mnt/models") {
			if !slices.ContainsFunc(c.Mounts, func(m struct {
				Name     string `yaml:"name"`
				Path     string `yaml:"mountPath"`
				ReadOnly bool   `yaml:"readOnly"`
			},
			) bool {
				return m.ReadOnly && strings.HasPrefix("/"+path, m.Path)
			}) {
				t.Errorf("nothing is mounted for %s", argument)
			}
		}
	}
}

// The server answers to the name that other namespaces call its service by, which it cannot tell from a site's, and to
// those of the values; none are given to one that has no gateway.
func TestHTTPHosts(t *testing.T) {
	const volume = "model.volume.persistentVolumeClaim.claimName=models"
	for set, want := range map[string][]string{
		"": {"release-sluice.inference"},
		",fullnameOverride=llm,httpHosts={models.example.org,*}": {"llm.inference", "models.example.org", "*"},
		",apiKeys.secretName=keys":                               {"release-sluice.inference"}, // they may let anyone call
		",extraArgs={--no-gateway}":                              nil,
		",env[0].name=SLUICE_NO_GATEWAY,env[0].value=true":       nil,
	} {
		manifests, err := render(t, "--set", volume+set)
		if err != nil {
			t.Fatalf("%q: %v\n%s", set, err, manifests)
		}
		c := parse[deployment](t, manifests, "Deployment")[0].main(t)
		var got []string
		for _, argument := range c.Args {
			if host, ok := strings.CutPrefix(argument, "--http-host="); ok {
				got = append(got, host)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: the names are %q, want %q", set, got, want)
		}
		takes(t, c.Args)
	}
}

// takes has the real binary read the arguments.
func takes(t *testing.T, arguments []string) {
	t.Helper()
	if said, err := run(t, "", tool(t, "bin/sluice"), append(slices.Clone(arguments), "--print-config")...); err != nil {
		t.Errorf("sluice %q: %v\n%s", arguments, err, said)
	}
}

// KServe's types are in no registry: its runtime is held to what the server needs, and to what KServe documents.
func TestKServe(t *testing.T) {
	text, err := os.ReadFile("../kserve/servingruntime.yaml")
	if err != nil {
		t.Fatal(err)
	}
	runtime := parse[deployment](t, string(text), "ServingRuntime")[0]
	c := runtime.main(t)
	if c.Name != "kserve-container" || len(c.Ports) != 1 || c.Ports[0].Name != "h2c" {
		t.Errorf("KServe wants the container kserve-container, and one port h2c: %q, %v", c.Name, c.Ports)
	}
	for k, argument := range c.Args { // KServe fills it in
		c.Args[k] = strings.ReplaceAll(argument, "{{.Name}}", "smollm2")
	}
	text, err = os.ReadFile("../kserve/inferenceservice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	service := parse[struct {
		APIVersion string `yaml:"apiVersion"`
		Spec       struct {
			Predictor struct {
				Grace int `yaml:"terminationGracePeriodSeconds"`
				Model struct {
					Runtime string `yaml:"runtime"`
					Format  struct {
						Name string `yaml:"name"`
					} `yaml:"modelFormat"`
					Storage string `yaml:"storageUri"`
				} `yaml:"model"`
			} `yaml:"predictor"`
		} `yaml:"spec"`
	}](t, string(text), "InferenceService")[0]
	p := service.Spec.Predictor
	if service.APIVersion != "serving.kserve.io/v1beta1" || p.Model.Runtime != "sluice" || p.Model.Format.Name != "sluice" || p.Model.Storage == "" {
		t.Errorf("the service is %+v", service)
	}
	checkServer(t, c, p.Grace)
}

// The inference extension's types are in no registry either: its pool is held to what its documentation asks for.
func TestInferencePool(t *testing.T) {
	manifests, err := render(t, "--values", "testdata/hpa.yaml")
	if err != nil {
		t.Fatal(manifests)
	}
	pools := parse[struct {
		APIVersion string `yaml:"apiVersion"`
		Spec       struct {
			Selector struct {
				Labels map[string]string `yaml:"matchLabels"`
			} `yaml:"selector"`
			Ports []struct {
				Number int `yaml:"number"`
			} `yaml:"targetPorts"`
			Protocol string `yaml:"appProtocol"`
			Picker   struct {
				Name string `yaml:"name"`
				Port struct {
					Number int `yaml:"number"`
				} `yaml:"port"`
				FailureMode string `yaml:"failureMode"`
			} `yaml:"endpointPickerRef"`
		} `yaml:"spec"`
	}](t, manifests, "InferencePool")
	if len(pools) != 1 {
		t.Fatalf("%d InferencePools", len(pools))
	}
	s := pools[0].Spec
	if pools[0].APIVersion != "inference.networking.k8s.io/v1" || len(s.Selector.Labels) == 0 || len(s.Ports) != 1 || s.Ports[0].Number != 50051 ||
		s.Protocol != "kubernetes.io/h2c" || s.Picker.Name == "" || s.Picker.Port.Number == 0 || s.Picker.FailureMode == "" {
		t.Errorf("%+v", pools[0])
	}
}
