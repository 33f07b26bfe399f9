<?php
// Runs programs of tests/hook_programs.py on WordPress' own registry: one as JSON on each line of standard input, its
// trace on the same line of standard output. The argument is the path of wp-includes/plugin.php.
//
// Where we differ on purpose, the callbacks do what we do:
// - "removed": what was removed while its priority runs is passed over; WordPress calls it.
// - "inside": an action is not called from within itself; WordPress calls it.
// "once" it does not know: such a callback removes itself as it is called.
// Where WordPress is at fault, "fault" says so, and the traces may differ:
// - "skips": a priority that is empty while it runs, with a lower one there, makes WordPress skip the next.
// - "forgets": a hook that empties while it runs is forgotten, and what is added to it then does not count in this run.

require $argv[1];

const DEPTH = 3;
const STEPS = 60;

function runs_of(array $program): array {
    global $wp_filter, $wp_filters, $wp_actions, $wp_current_filter;
    $wp_filter = $wp_filters = $wp_actions = $wp_current_filter = [];
    $told = [];
    $faults = [];
    $made = [];
    $once = []; // key => true
    $running = []; // of [hook, priority, key]
    $emptied = []; // hook => true, while it runs
    $depth = $steps = 0;
    $yes_no = fn($value) => $value ? 'yes' : 'no';
    $is_running = function (string $hook) use (&$running) {
        foreach ($running as $one) {
            if ($one[0] === $hook) {
                return true;
            }
        }
        return false;
    };
    $looked = function (string $hook) use (&$running, &$faults, &$emptied, $is_running) {
        global $wp_filter;
        if (!$is_running($hook)) {
            return;
        }
        $priorities = isset($wp_filter[$hook]) ? array_keys($wp_filter[$hook]->callbacks) : [];
        if (!$priorities) {
            $emptied[$hook] = true;
            return;
        }
        foreach ($running as [$one, $priority]) {
            if ($one === $hook && !in_array($priority, $priorities, true) && min($priorities) < $priority) {
                $faults['skips'] = true;
            }
        }
    };
    $run = null;
    $is_there = function (string $hook, int $priority, $function) {
        global $wp_filter;
        $id = _wp_filter_build_unique_id($hook, $function, $priority);
        return isset($wp_filter[$hook]->callbacks[$priority][$id]);
    };
    $callback = function (string $hook, string $name, int $priority)
        use (&$made, &$once, &$running, &$told, &$depth, &$run, $program, $looked, $is_there) {
        $key = "$hook $name $priority";
        $made[$key] ??= function ($value = '') use ($key, $hook, $name, $priority, &$made, &$once, &$running, &$told, &$depth, &$run, $program, $looked, $is_there) {
            if (!$is_there($hook, $priority, $made[$key])) {
                return $value; // removed
            }
            if ($hook[0] === 'a') {
                foreach ($running as $one) {
                    if ($one[2] === $key) {
                        return $value; // inside
                    }
                }
                $value = '';
            }
            $running[] = [$hook, $priority, $key];
            if (isset($once[$key])) {
                unset($once[$key]);
                remove_filter($hook, $made[$key], $priority);
                $looked($hook);
            }
            $told[] = "$hook calls $name with $value";
            if ($depth < DEPTH) {
                $depth++;
                $run($program['callbacks'][$name]['ops']);
                $depth--;
            }
            array_pop($running);
            return $value . $program['callbacks'][$name]['text'];
        };
        return $made[$key];
    };
    $priorities = [-5, 1, 5, 10, 11, 20];
    $does = function (array $op)
        use ($callback, $yes_no, $looked, $is_running, $is_there, $priorities, &$once, &$emptied, &$faults) {
        [$kind, $hook] = $op;
        $is_filter = $hook[0] === 'f';
        switch ($kind) {
            case 'add':
            case 'once':
                if (isset($emptied[$hook])) {
                    $faults['forgets'] = true;
                }
                $function = $callback($hook, $op[2], $op[3]);
                if ($kind === 'once' && !$is_there($hook, $op[3], $function)) {
                    $once["$hook $op[2] $op[3]"] = true;
                }
                ($is_filter ? 'add_filter' : 'add_action')($hook, $function, $op[3]);
                $looked($hook);
                return 'ok';
            case 'remove':
                unset($once["$hook $op[2] $op[3]"]);
                $removed = ($is_filter ? 'remove_filter' : 'remove_action')($hook, $callback($hook, $op[2], $op[3]), $op[3]);
                $looked($hook);
                return $yes_no($removed);
            case 'clear':
                ($is_filter ? 'remove_all_filters' : 'remove_all_actions')($hook, $op[2] ?? false);
                foreach (array_keys($once) as $key) {
                    [$of, , $priority] = explode(' ', $key);
                    if ($of === $hook && ($op[2] === null || (int) $priority === $op[2])) {
                        unset($once[$key]);
                    }
                }
                $looked($hook);
                return 'ok';
            case 'apply':
                $value = apply_filters($hook, $op[2]);
                if (!$is_running($hook)) {
                    unset($emptied[$hook]);
                }
                return $value;
            case 'do':
                do_action($hook);
                if (!$is_running($hook)) {
                    unset($emptied[$hook]);
                }
                return 'ok';
            case 'has':
                if ($op[2] === null) {
                    return $yes_no($is_filter ? has_filter($hook) : has_action($hook));
                }
                foreach ($priorities as $priority) {
                    $one = $callback($hook, $op[2], $priority);
                    if (($is_filter ? has_filter($hook, $one) : has_action($hook, $one)) !== false) {
                        return 'yes';
                    }
                }
                return 'no';
            case 'did':
                return (string) ($is_filter ? did_filter($hook) : did_action($hook));
        }
        return $yes_no($is_filter ? doing_filter($hook) : doing_action($hook));
    };
    $run = function (array $ops) use (&$told, &$steps, $does) {
        foreach ($ops as $op) {
            if (++$steps > STEPS) {
                return;
            }
            $said = implode(' ', array_map(fn($part) => $part ?? '-', $op));
            $done = $does($op);
            $told[] = "$said: $done";
        }
    };
    $run($program['main']);
    return ['trace' => $told, 'faults' => array_keys($faults)];
}

while (($line = fgets(STDIN)) !== false) {
    echo json_encode(runs_of(json_decode($line, true)), JSON_UNESCAPED_SLASHES), "\n";
}
