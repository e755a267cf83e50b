package conversion

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/hub"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// Fetch puts the checkpoint that the source names on a hub into the cache, and makes the conversion one of that copy. A path is
// left as it is. A name or a variable that is wrong is a *usage.Error.
func (c *Conversion) Fetch(ctx context.Context, progress setup.Progress) error {
	if !strings.HasPrefix(c.Source, hub.Scheme) {
		return nil
	}
	reference, err := hub.Parse(c.Source)
	if err != nil {
		return usage.Wrap(err)
	}
	cache, err := setup.DefaultCache()
	if err != nil {
		return err
	}
	client, err := hub.FromEnvironment(os.Getenv, filepath.Join(cache.Home(), "hub"))
	if err != nil {
		return usage.Wrap(err)
	}
	client.Progress, client.UserAgent = progress, "sluice/"+c.Version
	snapshot, err := client.Resolve(ctx, reference)
	if err != nil {
		return err //nolint:wrapcheck // it names the model
	}
	files, open, err := snapshot.Choose(reference.File)
	if err != nil {
		return err //nolint:wrapcheck // it names the model
	}
	dir, err := client.Fetch(ctx, snapshot, files)
	if err != nil {
		return err //nolint:wrapcheck // it names the model and the file
	}
	c.repository, c.revision = snapshot.Repository, snapshot.Commit
	c.Source = filepath.Join(dir, filepath.FromSlash(open))
	if open == "" {
		return nil
	}
	for _, f := range files { // beside a GGUF, of whose folder nothing else is read
		if path := filepath.Join(dir, filepath.FromSlash(f.Path)); !strings.HasSuffix(path, ".gguf") {
			c.Licences = append(c.Licences, path)
		}
	}
	return nil
}
