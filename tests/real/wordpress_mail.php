<?php
// Calls WordPress' own wp_mail: one call as JSON on each line of standard input, what came of it on the same line of
// standard output. The argument is the folder wp-includes. Nothing is sent: the mailer keeps what it would have sent.
//
// A call: to, subject, message, headers, attachments; "filters" is hook name => what the filter returns. The answer:
// "sent", "recipients", "content" (the MIME text in base64), "hooks" in their order, "failed" (the text of the WP_Error).

$includes = $argv[1];
define('ABSPATH', dirname($includes) . '/');
define('WPINC', 'wp-includes');
require "$includes/plugin.php";
require "$includes/class-wp-error.php";
require "$includes/formatting.php";
require "$includes/PHPMailer/PHPMailer.php";
require "$includes/PHPMailer/SMTP.php";
require "$includes/PHPMailer/Exception.php";

// What wp_mail asks of the rest of WordPress.
function network_home_url() { return 'https://www.site.example/blog'; }
function wp_parse_url($url, $component = -1) { return parse_url($url, $component); }
function get_bloginfo($show = '') { return 'UTF-8'; }

require "$includes/pluggable.php";

class KeepingMailer extends PHPMailer\PHPMailer\PHPMailer {
    public $kept = null;
    public function postSend() {
        $this->kept = $this->getSentMIMEMessage();
        return true;
    }
    public function preSend() {
        $this->Mailer = 'smtp';  // so that To and Subject stand in the text, as they do not for PHP's mail()
        return parent::preSend();
    }
}

const WATCHED = ['wp_mail', 'pre_wp_mail', 'wp_mail_from', 'wp_mail_from_name', 'wp_mail_content_type',
    'wp_mail_charset', 'phpmailer_init', 'wp_mail_succeeded', 'wp_mail_failed'];

while (($line = fgets(STDIN)) !== false) {
    $call = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    $GLOBALS['wp_filter'] = $GLOBALS['wp_actions'] = $GLOBALS['wp_current_filter'] = [];
    $phpmailer = new KeepingMailer(true);
    PHPMailer\PHPMailer\PHPMailer::$validator = static function ($email) { return (bool) is_email($email); };
    $hooks = [];
    $failed = null;
    foreach (WATCHED as $name) {
        add_filter($name, function ($value) use ($name, &$hooks, $call, &$failed) {
            $hooks[] = $name;
            if ($name === 'wp_mail_failed') { $failed = $value->get_error_message(); }
            if ($name === 'phpmailer_init' && isset($call['filters']['AltBody'])) {
                $value->AltBody = $call['filters']['AltBody'];
            }
            return array_key_exists($name, $call['filters']) ? $call['filters'][$name] : $value;
        });
    }
    $sent = wp_mail($call['to'], $call['subject'], $call['message'], $call['headers'], $call['attachments']);
    echo json_encode([
        'sent' => $sent,
        'recipients' => array_keys($phpmailer->getAllRecipientAddresses()),
        'content' => $phpmailer->kept === null ? null : base64_encode($phpmailer->kept),
        'hooks' => $hooks,
        'failed' => $failed,
    ], JSON_THROW_ON_ERROR), "\n";
}
