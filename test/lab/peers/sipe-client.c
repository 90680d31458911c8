/* A small Lync client for the lab: libpurple with the pidgin-sipe plugin, without a screen. It signs on over TLS, says so, stays
 * for the time asked and signs off. It never accepts a certificate that would make a user be asked.
 *
 * Usage: sipe-client STATE-FOLDER CA-FOLDER USER@DOMAIN PASSWORD SERVER PORT STAY-SECONDS
 * SERVER "-": finds its server by Lync Autodiscover. SIPE_AUTHENTICATION: tls-dsk, ntlm (default) or kerberos.
 * SIPE_PROXY: http|socks5 HOST PORT, the proxy for everything it does.
 * Prints SIGNED-ON, SIGNED-OFF, PROMPT ... or ERROR ...; exit code 0 signed on and off, 2 connection error, 3 certificate prompt,
 * 4 no answer in time. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <purple.h>

#define SIGN_ON_SECONDS_MAX 20
#define SIPE_PLUGIN_FOLDER "/usr/lib/purple-2"

/* Debian's libxml2 2.9.14 (its security updates) no longer calls startElement of a handler that says it is SAX2, which is all that sipe has:
 * it would read no XML at all. This definition comes before libxml2's and calls it with such handlers declared SAX1. */
typedef struct {
	void *before[14];
	void *start_element;
	void *between[12];
	unsigned int initialized;
	void *private_data;
	void *start_element_ns;
	void *after[2];
} SaxHandler;

int xmlSAXUserParseMemory(const SaxHandler *handler, void *data, const char *text, int size)
{
	int (*parse)(const SaxHandler *, void *, const char *, int) = (int (*)(const SaxHandler *, void *, const char *, int))dlsym(RTLD_NEXT, "xmlSAXUserParseMemory");
	SaxHandler copy = *handler;
	if (copy.start_element != NULL && copy.start_element_ns == NULL) copy.initialized = 1;
	return parse(&copy, data, text, size);
}

static GMainLoop *loop;
static int exit_code = 4;
static guint stay_seconds;

static void leave(int code)
{
	exit_code = code;
	g_main_loop_quit(loop);
}

/* ---- glib event loop for libpurple */

typedef struct {
	PurpleInputFunction function;
	guint result;
	gpointer data;
} Watch;

static gboolean watch_ready(GIOChannel *source, GIOCondition condition, gpointer data)
{
	Watch *watch = data;
	PurpleInputCondition ready = 0;
	if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) ready |= PURPLE_INPUT_READ;
	if (condition & (G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL)) ready |= PURPLE_INPUT_WRITE;
	watch->function(watch->data, g_io_channel_unix_get_fd(source), ready);
	return TRUE;
}

static guint watch_add(gint fd, PurpleInputCondition condition, PurpleInputFunction function, gpointer data)
{
	Watch *watch = g_new0(Watch, 1);
	GIOCondition wanted = 0;
	GIOChannel *channel = g_io_channel_unix_new(fd);
	watch->function = function;
	watch->data = data;
	if (condition & PURPLE_INPUT_READ) wanted |= G_IO_IN | G_IO_HUP | G_IO_ERR;
	if (condition & PURPLE_INPUT_WRITE) wanted |= G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL;
	watch->result = g_io_add_watch_full(channel, G_PRIORITY_DEFAULT, wanted, watch_ready, watch, g_free);
	g_io_channel_unref(channel);
	return watch->result;
}

static PurpleEventLoopUiOps loop_ops = {
	.timeout_add = g_timeout_add,
	.timeout_remove = g_source_remove,
	.input_add = watch_add,
	.input_remove = g_source_remove,
	.timeout_add_seconds = g_timeout_add_seconds,
};

/* ---- A question to the user means that the certificate was not acceptable */

static void *ask_action(const char *title, const char *primary, const char *secondary, int default_action, PurpleAccount *account,
                        const char *who, PurpleConversation *conversation, void *user_data, size_t count, va_list actions)
{
	printf("PROMPT %s: %s: %s\n", title ? title : "", primary ? primary : "", secondary ? secondary : "");
	fflush(stdout);
	leave(3);
	return NULL;
}

static PurpleRequestUiOps request_ops = { .request_action = ask_action };

/* ---- What happens to the connection */

static gboolean sign_off(gpointer data)
{
	purple_account_disconnect(data);
	printf("SIGNED-OFF\n");
	fflush(stdout);
	leave(0);
	return FALSE;
}

static void on_signed_on(PurpleConnection *connection, gpointer data)
{
	printf("SIGNED-ON\n");
	fflush(stdout);
	g_timeout_add_seconds(stay_seconds, sign_off, purple_connection_get_account(connection));
}

static void on_error(PurpleConnection *connection, PurpleConnectionError error, const gchar *text, gpointer data)
{
	printf("ERROR %d %s\n", error, text ? text : "");
	fflush(stdout);
	leave(2);
}

static void use_proxy(PurpleAccount *account, const char *setting)
{
	gchar **words = g_strsplit(setting, " ", 3);
	PurpleProxyInfo *proxy = purple_proxy_info_new();

	purple_proxy_info_set_type(proxy, g_strcmp0(words[0], "socks5") == 0 ? PURPLE_PROXY_SOCKS5 : PURPLE_PROXY_HTTP);
	if (words[0] && words[1] && words[2]) {
		purple_proxy_info_set_host(proxy, words[1]);
		purple_proxy_info_set_port(proxy, atoi(words[2]));
	}
	purple_account_set_proxy_info(account, proxy);
	g_strfreev(words);
}

static gboolean give_up(gpointer data)
{
	printf("ERROR no answer in time\n");
	fflush(stdout);
	leave(4);
	return FALSE;
}

int main(int argc, char **argv)
{
	static PurpleCoreUiOps core_ops;
	static int handle;
	PurpleAccount *account;

	if (argc != 8) {
		fprintf(stderr, "usage: sipe-client STATE-FOLDER CA-FOLDER USER@DOMAIN PASSWORD SERVER PORT STAY-SECONDS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	stay_seconds = (guint)atoi(argv[7]);
	loop = g_main_loop_new(NULL, FALSE);
	purple_util_set_user_dir(argv[1]);
	purple_debug_set_enabled(TRUE);
	/* Else sipe does not print what it sends and receives, which tests read. */
	purple_debug_set_unsafe(TRUE);
	purple_debug_set_verbose(TRUE);
	purple_core_set_ui_ops(&core_ops);
	purple_eventloop_set_ui_ops(&loop_ops);
	purple_request_set_ui_ops(&request_ops);
	purple_plugins_add_search_path(SIPE_PLUGIN_FOLDER);
	/* Before the certificate pool is first used: the only trusted roots besides the system's. */
	purple_certificate_add_ca_search_path(argv[2]);
	if (!purple_core_init("sallyport-lab")) {
		fprintf(stderr, "libpurple does not start\n");
		return 2;
	}
	purple_set_blist(purple_blist_new());
	purple_signal_connect(purple_connections_get_handle(), "signed-on", &handle, PURPLE_CALLBACK(on_signed_on), NULL);
	purple_signal_connect(purple_connections_get_handle(), "connection-error", &handle, PURPLE_CALLBACK(on_error), NULL);

	account = purple_account_new(argv[3], "prpl-sipe");
	purple_account_set_password(account, argv[4]);
	if (strcmp(argv[5], "-") == 0) {
		/* What found servers are spoken to with is TLS. */
		purple_account_set_string(account, "transport", "auto");
	} else {
		purple_account_set_string(account, "server", g_strdup_printf("%s:%s", argv[5], argv[6]));
		purple_account_set_string(account, "transport", "tls");
	}
	purple_account_set_string(account, "authentication", getenv("SIPE_AUTHENTICATION") ? getenv("SIPE_AUTHENTICATION") : "ntlm");
	if (getenv("SIPE_PROXY")) use_proxy(account, getenv("SIPE_PROXY"));
	purple_account_set_bool(account, "sso", FALSE);
	purple_accounts_add(account);
	purple_account_set_enabled(account, "sallyport-lab", TRUE);
	purple_savedstatus_activate(purple_savedstatus_new(NULL, PURPLE_STATUS_AVAILABLE));

	g_timeout_add_seconds(SIGN_ON_SECONDS_MAX + stay_seconds, give_up, NULL);
	g_main_loop_run(loop);
	return exit_code;
}
