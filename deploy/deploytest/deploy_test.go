//go:build deploy

package deploytest_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// root is the repository's.
const root = "../.."

// resource is a manifest as far as these tests look at all kinds alike.
type resource struct {
	Kind string `yaml:"kind"`
}

// tool is the absolute path of a program that make test-deploy provides.
func tool(t *testing.T, path string) string {
	t.Helper()
	found, err := filepath.Abs(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(found); err != nil {
		t.Fatalf("%v: run `make test-deploy`", err)
	}
	return found
}

// run runs a program and returns what it said, on both outputs if it failed.
func run(t *testing.T, stdin, program string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

// render is the chart's manifests.
func render(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	return run(t, "", tool(t, ".tools/bin/helm"), append([]string{
		"template", "release", filepath.Join(root, "deploy/helm/sluice"), "--namespace", "inference",
	}, arguments...)...)
}

// parse reads the manifests of a kind; "" means all.
func parse[T any](t *testing.T, manifests, kind string) (all []T) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(manifests))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, manifests)
		}
		var head resource
		if err := node.Decode(&head); err != nil {
			t.Fatalf("%v in\n%s", err, manifests)
		}
		if kind != "" && head.Kind != kind {
			continue
		}
		var one T
		if err := node.Decode(&one); err != nil {
			t.Fatalf("%v in\n%s", err, manifests)
		}
		all = append(all, one)
	}
}

// variants are the files of values.
func variants(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("values: %v, %v", files, err)
	}
	return files
}

// Every variant is valid to Helm, to Kubernetes' own schemas of the oldest and the newest version that the chart is
// for, and to the types of the projects whose resources it makes.
func TestChartIsValid(t *testing.T) {
	for _, values := range variants(t) {
		t.Run(filepath.Base(values), func(t *testing.T) {
			if said, err := run(t, "", tool(t, ".tools/bin/helm"), "lint", "--strict", filepath.Join(root, "deploy/helm/sluice"), "--values", values); err != nil {
				t.Errorf("lint: %v\n%s", err, said)
			}
			manifests, err := render(t, "--values", values)
			if err != nil {
				t.Fatalf("%v\n%s", err, manifests)
			}
			validate(t, manifests)
		})
	}
}

// foreign are the kinds that Kubernetes' schemas do not have, by who else judges them.
var foreign = map[string]string{
	"ServiceMonitor": "schemacheck", "ScaledObject": "schemacheck", "DestinationRule": "schemacheck",
	"VirtualService": "schemacheck", "PeerAuthentication": "schemacheck", "AuthorizationPolicy": "schemacheck",
	"Gateway": "schemacheck", "HTTPRoute": "schemacheck",
	"InferencePool": "TestInferencePool", "ServingRuntime": "TestKServe", "InferenceService": "TestKServe",
}

// validate has the manifests judged.
func validate(t *testing.T, manifests string) {
	t.Helper()
	var core []string
	want := 0
	for document := range strings.SplitSeq("\n"+manifests, "\n---") {
		for _, r := range parse[resource](t, document, "") {
			switch foreign[r.Kind] {
			case "":
				core = append(core, document)
			case "schemacheck":
				want++
			}
		}
	}
	for _, version := range []string{"1.33", "1.37"} {
		file := filepath.Join(t.TempDir(), "manifests.yaml")
		if err := os.WriteFile(file, []byte(strings.Join(core, "\n---\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := run(t, "", tool(t, ".venv/bin/kubernetes-validate"), "--strict", "-k", version, file); len(core) > 0 && err != nil {
			t.Errorf("Kubernetes %s: %v\n%s", version, err, said)
		}
	}
	said, err := run(t, manifests, tool(t, ".tools/bin/schemacheck"))
	if err != nil || strings.Count(said, "checked ") != want {
		t.Errorf("schemacheck: %v, of %d resources:\n%s", err, want, said)
	}
}

// The examples beside the chart are valid too.
func TestExamplesAreValid(t *testing.T) {
	for _, path := range []string{"istio/mesh.yaml", "gateway/inference.yaml", "kserve/servingruntime.yaml", "kserve/inferenceservice.yaml"} {
		t.Run(path, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", path))
			if err != nil {
				t.Fatal(err)
			}
			validate(t, string(text))
		})
	}
}

// Values that contradict each other, or that do not exist, are refused with the reason.
func TestChartRefuses(t *testing.T) {
	volume := "model.volume.persistentVolumeClaim.claimName=models"
	for want, set := range map[string]string{
		"give exactly one of":                        "replicas=1",
		"would work against each other":              volume + ",autoscaling.hpa.enabled=true,autoscaling.keda.enabled=true",
		"tls.clientAuth needs tls.secretName":        volume + ",tls.clientAuth=true",
		"tls.clientCRL needs tls.clientAuth":         volume + ",tls.secretName=x,tls.clientCRL.configMapName=y",
		"prefixCache is at most half":                volume + ",memory.kvCache=400",
		"an InferencePool reaches its pods":          volume + ",inferencePool.enabled=true,tls.secretName=x",
		"additional properties 'thread' not allowed": volume + ",thread=3",
		"httpHosts is of no use":                     volume + ",httpHosts={models.example.org},extraArgs={--no-gateway}",
		"/httpHosts/0":                               volume + ",httpHosts={https://models.example.org}",
		"/threads":                                   volume + ",threads=none",
		"/drain/delaySeconds":                        volume + ",drain.delaySeconds=-1",
	} {
		if said, err := render(t, "--set", set); err == nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v, want %q in\n%s", set, err, want, said)
		}
	}
}

// Services select the pods, and their ports are the pods'.
func TestChartFits(t *testing.T) {
	for _, values := range variants(t) {
		manifests, err := render(t, "--values", values)
		if err != nil {
			t.Fatalf("%s: %v", manifests, err)
		}
		deployments := parse[deployment](t, manifests, "Deployment")
		if len(deployments) != 1 {
			t.Fatalf("%s: %d Deployments", values, len(deployments))
		}
		labels := deployments[0].Spec.Template.Metadata.Labels
		for _, s := range parse[service](t, manifests, "Service") {
			for _, p := range s.Spec.Ports {
				if !slices.ContainsFunc(deployments[0].main(t).Ports, func(c port) bool { return c.Name == p.TargetPort }) {
					t.Errorf("%s: no container has the port %q", values, p.TargetPort)
				}
			}
			for name, value := range s.Spec.Selector {
				if labels[name] != value {
					t.Errorf("%s: a service selects %s=%s, pods have %q", values, name, value, labels[name])
				}
			}
		}
	}
}

type service struct {
	Spec struct {
		Selector map[string]string `yaml:"selector"`
		Ports    []struct {
			TargetPort string `yaml:"targetPort"`
		} `yaml:"ports"`
	} `yaml:"spec"`
}
