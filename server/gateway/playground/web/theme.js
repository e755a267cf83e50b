// Runs before the page is drawn, so that it is never drawn in the wrong colours. Without a choice the system's decides.
{
  let theme = null;
  try {
    theme = localStorage.getItem('sluice-theme');
  } catch {
    // storage is switched off
  }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}
