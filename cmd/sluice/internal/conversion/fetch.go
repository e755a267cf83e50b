package conversion

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/hub"
	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
)

// notFound says of a path where nothing is which model on a hub it may have been meant for, in a *usage.Error; nil if there is
// something, or if it is the name of none.
func notFound(source string) error {
	if _, err := os.Stat(source); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	name := strings.TrimPrefix(source, "hf:")
	for _, site := range []string{"https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/"} {
		name = strings.TrimPrefix(name, site)
	}
	reference, err := hub.Parse(hub.Scheme + strings.Trim(name, "/"))
	if err != nil || reference.File != "" && !strings.HasSuffix(reference.File, ".gguf") {
		return nil //nolint:nilerr // it is a path, and who opens it says that nothing is there
	}
	return usage.Errorf("there is no %s here: a model on a hub is written %s", source, reference)
}

// Fetch puts the checkpoint that the source names on a hub into the cache, and makes the conversion one of that copy. A path is
// left as it is. A name or a variable that is wrong is a *usage.Error, and so is a hub's name that lacks its hf://.
func (c *Conversion) Fetch(ctx context.Context, progress setup.Progress) error {
	if !strings.HasPrefix(c.Source, hub.Scheme) {
		return notFound(c.Source)
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
