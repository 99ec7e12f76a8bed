# Completion of vskel for bash. Names of skels and vservers are taken from the directories, not from vskel, so that the
# Tab key neither waits nor needs the right to read records.

_vskel() {
  local current previous words cword
  _init_completion -n = 2>/dev/null || {
    words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  }
  current=${words[cword]} previous=${words[cword - 1]}

  local commands="build-skel create-vs merge-skel split-skel relink adopt diff rollback prune list show verify run-plugins remove-vs remove-skel recover guard bench"
  local globals="--vservers --etc --config --jobs --backend --progress --dry-run --json --quiet --verbose --no-wait --help --version"
  local vservers=${VSKEL_VSERVERS:-/vservers} command="" place=0 i
  for ((i = 1; i < cword; i++)); do
    case ${words[i]} in
      --vservers) vservers=${words[++i]} ;;
      --vservers=*) vservers=${words[i]#*=} ;;
      --etc | --config | --jobs | -j | --backend | --progress) ((i++)) ;;
      --from | --exclude | --global | --local | --fleet | --count | --name | --fqdn | --ip-from | --context | --share | --seal | --quiesce | --pkgdb | --to | --export-new | --dir) ((i++)) ;;
      -*)
        if [[ -z $command && " $commands " == *" ${words[i]#--} "* ]]; then command=${words[i]#--}; fi
        ;;
      *) if [[ -z $command ]]; then command=${words[i]}; else ((place++)); fi ;;
    esac
  done

  case $previous in
    --backend) COMPREPLY=($(compgen -W "auto syscall uring" -- "$current")); return ;;
    --progress) COMPREPLY=($(compgen -W "auto always never" -- "$current")); return ;;
    --share) COMPREPLY=($(compgen -W "hardlink reflink copy" -- "$current")); return ;;
    --seal) COMPREPLY=($(compgen -W "auto iunlink guard immutable none" -- "$current")); return ;;
    --to) COMPREPLY=($(compgen -W "hardlink reflink copy" -- "$current")); return ;;
    --pkgdb) COMPREPLY=($(compgen -W "skip force" -- "$current")); return ;;
    --quiesce) COMPREPLY=($(compgen -W "refuse freeze off" -- "$current")); return ;;
    --vservers | --etc | --export-new | --dir) compopt -o filenames; COMPREPLY=($(compgen -d -- "$current")); return ;;
    --config | --from | --fleet | --global | --local) compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")); return ;;
    --jobs | -j | --exclude | --count | --name | --fqdn | --ip-from | --context) return ;;
  esac

  local options="" skels="" names=""
  case $command in
    "") options=$commands ;;
    build-skel) options="--from --exclude --global --local --static --keep --empty-homes" ;;
    create-vs)
      options="--fleet --count --name --fqdn --ip-from --share --seal --quiesce --context --no-plugins --strict-plugins"
      ((place == 0)) && skels=yes
      ;;
    merge-skel) options="--with-static --without-static --abort"; ((place == 0)) && skels=yes ;;
    split-skel) options="--quiesce --force"; ((place == 0)) && skels=yes ;;
    prune) options="--quiesce"; ((place == 0)) && skels=yes ;;
    rollback) options="--quiesce"; ((place == 0)) && skels=yes ;;
    diff) ((place == 0)) && skels=yes ;;
    relink)
      options="--share-only --global-only --pkgdb --anywhere --to --export-new --new-beside --ack --ignore-mtime --quiesce"
      if ((place == 0)); then skels=yes; else names=yes; fi
      ;;
    adopt)
      options="--share"
      if ((place == 0)); then skels=yes; elif ((place == 1)); then names=yes; fi
      ;;
    show | run-plugins) ((place == 0)) && names=yes ;;
    verify) names=yes ;;
    remove-vs) options="--yes --quiesce" names=yes ;;
    guard)
      options="--yes --all"
      if [[ $current != -* ]]; then ((place == 0)) && COMPREPLY=($(compgen -W "start stop status" -- "$current")); return; fi
      ;;
    recover) options="--quiesce" ;;
    bench) options="--dir --save" ;;
    remove-skel) options="--yes"; ((place == 0)) && skels=yes ;;
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options $globals" -- "$current"))
  elif [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$current"))
  elif [[ -n $skels ]]; then
    COMPREPLY=($(cd "$vservers/.skel" 2>/dev/null && compgen -d -- "$current"))
  elif [[ -n $names ]]; then
    COMPREPLY=($(cd "$vservers" 2>/dev/null && compgen -d -X '@(.*|tmp_skel_*)' -- "$current"))
  fi
}

complete -F _vskel vskel
